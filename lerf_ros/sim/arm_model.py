# SPDX-License-Identifier: Apache-2.0
"""The project's own 6-DoF arm with parallel gripper and wrist camera, as MJCF text.

Joints yaw, pitch, pitch, roll, pitch, roll; reach 0.70 m from the shoulder to the wrist, 0.19 m more to the tool
centre point (tcp). tcp frame: z = approach direction, y = closing axis. The wrist camera sits 9 cm beside the gripper
along the image's vertical and looks along the approach direction, so neither fingers nor arm enter its image.
"""

from typing import Final

JOINTS: Final[tuple[str, ...]] = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6")
FINGERS: Final[tuple[str, str]] = ("finger_left_joint", "finger_right_joint")
LINKS: Final[tuple[str, ...]] = ("link1", "link2", "link3", "link4", "link5", "link6")
GRIPPER_ACTUATOR: Final = "gripper"
TCP_SITE: Final = "tcp"
WRIST_CAMERA: Final = "wrist"
FINGER_TRAVEL_M: Final = 0.04
#: In the frame of the last link.
CAMERA_POSITION_M: Final = (-0.09, 0.0, 0.045)
TCP_POSITION_M: Final = (0.0, 0.0, 0.13)

DEFAULTS: Final = """
<default class="arm"><joint damping="4" armature="0.1"/>
 <geom contype="0" conaffinity="0" mass="0.6" material="arm_shell"/><position kp="2000" dampratio="1"/></default>
<default class="pad"><geom type="box" condim="4" friction="1.2 0.02 0.0005" solimp="0.97 0.99 0.001" solref="0.004 1"
  material="arm_rubber" mass="0.03"/><joint type="slide" range="0 0.04" armature="0.02" damping="8"/></default>
"""

ASSETS: Final = """
<material name="arm_shell" rgba="0.82 0.83 0.85 1" specular="0.4" shininess="0.5"/>
<material name="arm_rubber" rgba="0.1 0.1 0.1 1" specular="0.1" shininess="0.2"/>
"""


def _text(values: tuple[float, ...]) -> str:
    return " ".join(map(str, values))


def body_xml(fovy_deg: float) -> str:
    """The arm's body tree, base at the world origin, wrist camera with the given vertical field of view."""
    return f"""
<body name="arm_base" gravcomp="1" childclass="arm">
<geom name="arm/0" type="cylinder" size="0.07 0.06" pos="0 0 0.06"/>
<body name="link1" pos="0 0 0.15" gravcomp="1"><joint name="joint1" axis="0 0 1" range="-2.9 2.9"/>
<geom name="arm/1" type="capsule" fromto="0 0 -0.05 0 0 0.08" size="0.055"/>
<body name="link2" pos="0 0 0.1" gravcomp="1"><joint name="joint2" axis="0 1 0" range="-2 2"/>
<geom name="arm/2" type="capsule" fromto="0 0 0 0 0 0.36" size="0.045"/>
<body name="link3" pos="0 0 0.36" gravcomp="1"><joint name="joint3" axis="0 1 0" range="-0.2 2.8"/>
<geom name="arm/3" type="capsule" fromto="0 0 0 0 0 0.2" size="0.04"/>
<body name="link4" pos="0 0 0.2" gravcomp="1"><joint name="joint4" axis="0 0 1" range="-2.9 2.9"/>
<geom name="arm/4" type="capsule" fromto="0 0 0 0 0 0.14" size="0.035" mass="0.4"/>
<body name="link5" pos="0 0 0.14" gravcomp="1"><joint name="joint5" axis="0 1 0" range="-2.3 2.3"/>
<geom name="arm/5" type="sphere" size="0.04" mass="0.3"/>
<body name="link6" pos="0 0 0.06" gravcomp="1"><joint name="joint6" axis="0 0 1" range="-4.7 4.7"/>
<geom name="arm/6" type="cylinder" size="0.04 0.02" mass="0.2"/>
<geom name="arm/7" type="box" size="0.03 0.06 0.02" pos="0 0 0.035" mass="0.2"/>
<geom name="arm/8" type="box" size="0.03 0.012 0.008" pos="-0.06 0 0.02" mass="0.03"/>
<camera name="{WRIST_CAMERA}" pos="{_text(CAMERA_POSITION_M)}" xyaxes="0 -1 0 -1 0 0" fovy="{fovy_deg:.4f}"/>
<site name="{TCP_SITE}" pos="{_text(TCP_POSITION_M)}" size="0.004" group="4"/>
<body name="finger_left" pos="0 0 0.06" gravcomp="1" childclass="pad"><joint name="finger_left_joint" axis="0 1 0"/>
<geom name="arm/9" size="0.012 0.006 0.04" pos="0 0.006 0.045"/></body>
<body name="finger_right" pos="0 0 0.06" gravcomp="1" childclass="pad"><joint name="finger_right_joint" axis="0 -1 0"/>
<geom name="arm/10" size="0.012 0.006 0.04" pos="0 -0.006 0.045"/></body>
</body></body></body></body></body></body></body>"""


def actuation_xml() -> str:
    """Finger coupling and position servos; the gripper is limited to 40 N."""
    servos = "".join(f'<position class="arm" name="{j}" joint="{j}" ctrlrange="-4.7 4.7"/>' for j in JOINTS)
    left, right = FINGERS
    return f"""
<equality><joint joint1="{left}" joint2="{right}" polycoef="0 1 0 0 0" solref="0.004 1"/></equality>
<actuator>{servos}<position name="{GRIPPER_ACTUATOR}" joint="{left}" kp="800" dampratio="1"
 ctrlrange="-0.01 {FINGER_TRAVEL_M}" forcerange="-40 40"/></actuator>"""
