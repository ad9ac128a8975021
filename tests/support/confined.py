"""Programs in a root of their own, as a service manager or a container runtime starts them: own_namespaces(), read_only_but(), then
subprocess.Popen(..., preexec_fn=lambda: enter(root, uid, gid)). Needs root.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)


def check(done, what):
    if done != 0:
        raise OSError(ctypes.get_errno(), what)


def own_namespaces():
    """Mounts, and a network with nothing but loopback, of this process and its children."""
    check(libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def read_only_but(root, *folders):
    """All of the root but these folders of it, in this mount namespace."""
    for folder in (root,) + folders:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)


def enter(root, uid, gid):
    """Of a process that is about to become the program: no capability is left, and none can be had."""
    os.chroot(root)
    os.chdir("/")
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
