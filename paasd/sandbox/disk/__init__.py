"""Disks of containers: quota disks, shared layer images, stacks.

`open_disks` gives `Disks` (a sparse ext4 file per container), `open_images` gives `Images` (squashfs, mounted once and
counted), `open_stacks` gives `Stacks` (the root that layers lie on). All of it is loop-mounted with automatic release.
"""

from paasd.sandbox.disk.debian_stack import StackBuildFailed, StackManifest
from paasd.sandbox.disk.images import ImageDamaged, Images, open_images
from paasd.sandbox.disk.loops import MountError, loops_below
from paasd.sandbox.disk.pack import mksquashfs_arguments, squashfs_options
from paasd.sandbox.disk.places import LayerRefused
from paasd.sandbox.disk.quota import Disks, DiskUsage, open_disks
from paasd.sandbox.disk.stacks import StackMissing, StackRoot, Stacks, open_stacks
from paasd.sandbox.mounts import idmapped

__all__ = [
    "DiskUsage",
    "Disks",
    "ImageDamaged",
    "Images",
    "LayerRefused",
    "MountError",
    "StackBuildFailed",
    "StackManifest",
    "StackMissing",
    "StackRoot",
    "Stacks",
    "idmapped",
    "loops_below",
    "mksquashfs_arguments",
    "open_disks",
    "open_images",
    "open_stacks",
    "squashfs_options",
]
