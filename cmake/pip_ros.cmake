# SPDX-License-Identifier: Apache-2.0
# Lets this package build against the ros-jazzy-* wheels of a virtual environment.
# Does nothing where a ROS installation has been sourced (it sets ROS_DISTRO).
if(DEFINED ENV{ROS_DISTRO})
  return()
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c
    "import ament_package, pathlib; print(pathlib.Path(ament_package.__file__).parents[4].as_posix())"
  OUTPUT_VARIABLE _pip_ros_prefix OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE _pip_ros_rc)
if(NOT _pip_ros_rc EQUAL 0)
  message(FATAL_ERROR "Neither a sourced ROS 2 nor the ros-jazzy-* wheels were found with ${Python3_EXECUTABLE}")
endif()
set(ENV{AMENT_PREFIX_PATH} "${_pip_ros_prefix}:$ENV{AMENT_PREFIX_PATH}")
list(PREPEND CMAKE_PREFIX_PATH "${_pip_ros_prefix}")

# The wheels' exported targets name the Python and numpy headers of the machine that built
# them; drop include folders that do not exist here (FindPython3 supplies the real ones).
function(_pip_ros_drop_missing_includes)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_t IN LISTS _targets)
    get_target_property(_dirs ${_t} INTERFACE_INCLUDE_DIRECTORIES)
    if(_dirs)
      set(_keep "")
      foreach(_d IN LISTS _dirs)
        if(NOT IS_ABSOLUTE "${_d}" OR EXISTS "${_d}")
          list(APPEND _keep "${_d}")
        endif()
      endforeach()
      set_target_properties(${_t} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_keep}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL _pip_ros_drop_missing_includes)
