"""The machine a run was on: what its figures depend on."""
import ctypes
import os
import platform
import re
import subprocess
import time

from rig.rabbit import Rabbit
from rig.subscriber import program


def found(pattern, text):
    match = re.search(pattern, text, re.M)
    return match[1].strip() if match else "unknown"


def contents(path):
    with open(path) as file:
        return file.read()


def output(*command):
    """What it prints, also on standard error; nothing if it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr


def rabbit_version(rabbit: Rabbit):
    with rabbit.connect() as connection:
        version = connection.server_properties["version"]
    return version.decode() if isinstance(version, bytes) else version


def librabbitmq_version():
    """As the library the program is linked to says."""
    library = ctypes.CDLL(found(r"librabbitmq\S* => (\S+)", output("ldd", program())))
    library.amqp_version.restype = ctypes.c_char_p
    return library.amqp_version().decode()


def describe(servers):
    memory_kib = int(found(r"MemTotal: +(\d+)", contents("/proc/meminfo")))
    return {
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "sr3sub": found(r"(\d\S*)", output(program(), "--version")),
        "CPU": found(r"^model name\s*: (.*)", contents("/proc/cpuinfo")),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": found(r'^PRETTY_NAME="(.*)"', contents("/etc/os-release")),
        "file system": output("findmnt", "-no", "FSTYPE", "-T", servers.work).split()[-1],
        "load before": f"{os.getloadavg()[0]:.2f}",
        "RabbitMQ": rabbit_version(servers.rabbit),
        "nginx": found(r"nginx/(\S+)", output("/usr/sbin/nginx", "-v")),
        "Redis": found(r"v=(\S+)", output("/usr/bin/redis-server", "--version")),
        "curl": found(r"^curl (\S+)", output("curl", "--version")),
        "libcurl": found(r"libcurl/(\S+)", output("curl", "--version")),
        "OpenSSL": found(r"OpenSSL/(\S+)", output("curl", "--version")),
        "librabbitmq": librabbitmq_version(),
    }
