# SPDX-License-Identifier: Apache-2.0
"""Reads launch files without the `launch` packages, which the ROS wheels lack: stand-ins for what ours use of them.

They take the keywords that the real ones take, and no others, and remember what would be started.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

PACKAGE = "lerf_ros"


class LaunchFault(Exception):
    """A launch file names what does not exist."""


@dataclass
class LaunchContext:
    """Arguments by name, and the folder that stands for share/lerf_ros."""

    share: Path
    values: dict[str, str]


@dataclass(frozen=True)
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        if self.name not in context.values:
            raise LaunchFault(f"launch argument {self.name!r} is not declared")
        return context.values[self.name]


@dataclass(frozen=True)
class EnvironmentVariable:
    name: str
    default_value: Any = ""

    def perform(self, context: LaunchContext) -> str:
        return text(self.default_value, context)


@dataclass(frozen=True)
class FindPackageShare:
    package: str

    def perform(self, context: LaunchContext) -> str:
        return str(context.share) if self.package == PACKAGE else f"share:{self.package}"


@dataclass(frozen=True)
class ParameterValue:
    value: Any
    value_type: type

    def perform(self, context: LaunchContext) -> str:
        return text(self.value, context)


@dataclass(frozen=True)
class DeclareLaunchArgument:
    name: str
    default_value: Any = None
    description: str = ""
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class SetEnvironmentVariable:
    name: str
    value: Any


@dataclass(frozen=True)
class OpaqueFunction:
    function: Callable[[LaunchContext], Sequence[Any] | None]


@dataclass(frozen=True)
class IfCondition:
    predicate: Any


@dataclass(frozen=True)
class PythonLaunchDescriptionSource:
    location: Any


@dataclass(frozen=True)
class IncludeLaunchDescription:
    source: PythonLaunchDescriptionSource
    launch_arguments: Any = ()
    condition: IfCondition | None = None


@dataclass(frozen=True)
class Node:
    package: Any
    executable: Any
    name: Any = None
    namespace: Any = ""
    parameters: Sequence[Any] = ()
    remappings: Sequence[tuple[Any, Any]] = ()
    arguments: Sequence[Any] = ()
    ros_arguments: Sequence[Any] = ()
    output: str = "log"
    respawn: bool = False
    respawn_delay: float | None = None
    condition: IfCondition | None = None


@dataclass(frozen=True)
class LaunchDescription:
    entities: Sequence[Any]


@dataclass(frozen=True)
class Started:
    """One program that a launch file starts, all substitutions made."""

    package: str
    executable: str
    name: str
    namespace: str
    parameter_files: tuple[Path, ...]
    parameters: frozenset[str]
    remappings: Mapping[str, str]
    arguments: tuple[str, ...]


@dataclass
class Described:
    """What a launch file does: the programs, the files it names, launch files of other packages."""

    nodes: list[Started] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)


def text(value: Any, context: LaunchContext) -> str:
    """Perform substitutions; a sequence is the concatenation of its parts."""
    if isinstance(value, (list, tuple)):
        return "".join(text(part, context) for part in value)
    return value.perform(context) if hasattr(value, "perform") else str(value)


def describe(path: Path, share: Path, arguments: Mapping[str, str]) -> Described:
    """Return what `path` starts when launched with these arguments, as installed with `share` as share/lerf_ros.

    Raises:
        LaunchFault: it names an argument, a keyword or a module that does not exist.
    """
    context, described = LaunchContext(share, dict(arguments)), Described()
    unknown = set(arguments) - set(_read(path, context, described))
    if unknown:
        raise LaunchFault(f"{path.name} declares no launch argument {', '.join(sorted(unknown))}")
    return described


def _read(path: Path, context: LaunchContext, into: Described) -> Iterator[str]:
    """Return the arguments that `path` and what it includes declare, having walked through all of it."""
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        with mock.patch.dict(sys.modules, _modules(context.share)):
            exec(compile(path.read_text(), str(path), "exec"), namespace)
            entities = namespace["generate_launch_description"]().entities
        return iter(_walk(entities, context, into))
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise LaunchFault(f"{path.name}: {error}") from error


def _walk(entities: Sequence[Any], context: LaunchContext, into: Described) -> list[str]:
    declared: list[str] = []
    for entity in entities:
        condition = getattr(entity, "condition", None)
        if condition is not None and text(condition.predicate, context).lower() != "true":
            continue
        if isinstance(entity, DeclareLaunchArgument):
            declared.append(entity.name)
            context.values.setdefault(entity.name, text(entity.default_value, context))
        elif isinstance(entity, SetEnvironmentVariable):
            into.files.extend(_files([text(entity.value, context)]))
        elif isinstance(entity, OpaqueFunction):
            declared += _walk(entity.function(context) or (), context, into)
        elif isinstance(entity, Node):
            into.nodes.append(_started(entity, context, into))
        else:
            declared += _include(entity, context, into)
    return declared


def _include(entity: IncludeLaunchDescription, context: LaunchContext, into: Described) -> list[str]:
    location = text(entity.source.location, context)
    given = {name: text(value, context) for name, value in entity.launch_arguments}
    if location.startswith("share:"):
        into.includes.append(location.removeprefix("share:").split("/")[0])
        return []
    path = Path(location)
    if not path.is_file():
        raise LaunchFault(f"launch file {path.name} does not exist")
    context.values |= given
    declared = list(_read(path, context, into))
    if unknown := set(given) - set(declared):
        raise LaunchFault(f"{path.name} declares no launch argument {', '.join(sorted(unknown))}")
    return declared


def _started(node: Node, context: LaunchContext, into: Described) -> Started:
    tables = [entry for entry in node.parameters if isinstance(entry, dict)]
    files = [Path(text(entry, context)) for entry in node.parameters if not isinstance(entry, dict)]
    for table in tables:
        for value in table.values():
            if isinstance(value, ParameterValue):
                text(value, context)
    arguments = tuple(text(part, context) for part in (*node.arguments, *node.ros_arguments))
    into.files.extend([*files, *_files(arguments)])
    return Started(
        package=text(node.package, context),
        executable=text(node.executable, context),
        name=text(node.name or node.executable, context),
        namespace=text(node.namespace, context),
        parameter_files=tuple(files),
        parameters=frozenset(key for table in tables for key in table),
        remappings={text(a, context): text(b, context) for a, b in node.remappings},
        arguments=arguments,
    )


def _files(words: Sequence[str]) -> list[Path]:
    return [Path(word) for word in words if word.endswith((".yaml", ".rviz", ".xml"))]


def _modules(share: Path) -> dict[str, ModuleType]:
    """Return the modules whose names launch files import from."""
    contents: dict[str, dict[str, Any]] = {
        "launch": {"LaunchContext": LaunchContext, "LaunchDescription": LaunchDescription},
        "launch.actions": {
            kind.__name__: kind
            for kind in (DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable)
        },
        "launch.conditions": {"IfCondition": IfCondition},
        "launch.launch_description_sources": {"PythonLaunchDescriptionSource": PythonLaunchDescriptionSource},
        "launch.substitutions": {
            "LaunchConfiguration": LaunchConfiguration, "EnvironmentVariable": EnvironmentVariable,
        },
        "launch_ros": {},
        "launch_ros.actions": {"Node": Node},
        "launch_ros.parameter_descriptions": {"ParameterValue": ParameterValue},
        "launch_ros.substitutions": {"FindPackageShare": FindPackageShare},
        "ament_index_python": {},
        "ament_index_python.packages": {
            "get_package_share_directory": lambda name: FindPackageShare(name).perform(LaunchContext(share, {})),
        },
    }  # fmt: skip
    modules = {}
    for name, names in contents.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(names)
    return modules
