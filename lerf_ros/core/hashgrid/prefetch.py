# SPDX-License-Identifier: Apache-2.0
"""A hint to the processor that an address will be needed soon; numba has none of its own."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """`prefetch(array, i)`: ask for the cache line of element i of a one-dimensional array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        struct = context.make_array(kind)(context, builder, arguments[0])
        element = cgutils.get_item_pointer(context, builder, kind, struct, [arguments[1]], wraparound=False)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        read, keep, data = (ir.Constant(word, value) for value in (0, 3, 1))
        builder.call(hint, [builder.bitcast(element, byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
