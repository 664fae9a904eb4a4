"""A small tree of files with paths, sizes and contents like those of a weather service.

Everything follows from the seed. Half of the small files are shorter than about 3 kB.
"""
import calendar
import hashlib
import os
import random
from dataclasses import dataclass

DAY = "20251120"
TOP = f"{DAY}/WXO-DD"
CENTRES = "CWAO CWVR CWUL CWHX CWWG CYQB KWBC EGRR LFPW RJTD".split()
BULLETINS = "SA SM SI SN UA FC FT FX FP WS".split()
PROVINCES = "AB BC HEF MB NB NL NS NT NU ON PE QC SK YT".split()
RADARS = "CASAG CASBE CASBV CASCM CASDR CASET CASFM CASFT CASGO CASHP".split()
STATIONS = [f"C{a}{b}{c}" for a in "AEIMQUWY" for b in "ADGJMPS" for c in "BFLRX"]
HOURS = range(2, 8)  # as if it had arrived in one night
MEGABYTE = 1 << 20


@dataclass
class Entry:
    """One file of the tree. `digest` is its sha512, `md5` its md5, both as bytes."""
    rel_path: str
    size: int
    digest: bytes
    md5: bytes
    mtime_ns: int
    mode: int = 0o644


@dataclass
class Plan:
    """A file to be made: where, how long, and what it is made of."""
    rel_path: str
    size: int
    head: bytes
    tail: bytes
    text: bool


def make_tree(root, small=3000, radar=0, grib=0, huge_mb=0, seed=1):
    """Writes the tree below `root` and returns its entries."""
    rng = random.Random(seed)
    makers = [bulletin, observation, city_page, alert]
    plans = [rng.choices(makers, weights=[38, 45, 12, 5])[0](rng, i) for i in range(small)]
    plans += [radar_image(rng, i) for i in range(radar)]
    plans += [model_field(rng, i, rng.randrange(200_000, 2_000_000)) for i in range(grib)]
    if huge_mb:
        plans.append(model_field(rng, grib, huge_mb * MEGABYTE))
    letters = rng.randbytes(65536).hex().upper().encode()
    return [write(root, plan, letters, rng) for plan in plans]


def text_size(rng, typical, low, high):
    return min(high, max(low, int(rng.lognormvariate(0, 0.6) * typical)))


def bulletin(rng, number):
    kind, centre = rng.choice(BULLETINS), rng.choice(CENTRES)
    hour, minute = rng.choice(HOURS), rng.randrange(60)
    name = f"{kind}CN{rng.randrange(20, 85)}_{centre}_20{hour:02}{minute:02}__{number:05}"
    return Plan(f"{TOP}/bulletins/alphanumeric/{DAY}/{kind}/{centre}/{hour:02}/{name}",
                text_size(rng, 900, 120, 4000), name.replace("_", " ").encode() + b"\r\r\n",
                b"=\r\r\n", True)


def observation(rng, number):
    place = rng.choice(STATIONS)
    hour, minute = rng.choice(HOURS), rng.randrange(60)
    name = f"2025-11-20-{hour:02}{minute:02}-{place}-AUTO-minute-{number:05}-swob.xml"
    return Plan(f"{TOP}/observations/swob-ml/{DAY}/{place}/{name}",
                text_size(rng, 4600, 2000, 10000),
                b'<?xml version="1.0"?><om:ObservationCollection id="%s">' % name.encode(),
                b"</om:ObservationCollection>\n", True)


def city_page(rng, number):
    hour = rng.choice(HOURS)
    moment = f"{DAY}T{hour:02}{rng.randrange(60):02}{rng.randrange(60):02}.{rng.randrange(1000):03}"
    language = rng.choice(["en", "fr"])
    name = f"{moment}Z_MSC_CitypageWeather_s{number:07}_{language}.xml"
    return Plan(f"{TOP}/citypage_weather/{rng.choice(PROVINCES)}/{hour:02}/{name}",
                text_size(rng, 6000, 600, 20000), b"<siteData><code>%s</code>" % name.encode(),
                b"</siteData>\n", True)


def alert(rng, number):
    hour = rng.choice(HOURS)
    moment = f"{DAY}{hour:02}{rng.randrange(60):02}00"
    name = f"T_WOCN{rng.randrange(40, 60)}_C_CWAO_{moment}_{number:010}.cap"
    return Plan(f"{TOP}/alerts/cap/{DAY}/CWAO/{hour:02}/{name}",
                text_size(rng, 8000, 3000, 30000), b"<alert><identifier>%s" % name.encode(),
                b"</alert>\n", True)


def radar_image(rng, number):
    site = rng.choice(RADARS)
    moment = f"{DAY}T{rng.choice(HOURS):02}{rng.randrange(60):02}Z"
    name = f"{moment}_MSC_Radar-DPQPE_{site}_{number:05}.gif"
    return Plan(f"{TOP}/radar/DPQPE/GIF/{site}/{name}", rng.randrange(20_000, 100_000),
                b"GIF89a" + name.encode(), b"\x00;", False)


def model_field(rng, number, size):
    hour = rng.choice([0, 6, 12, 18])
    step = number % 240
    name = f"CMC_glb_TMP_TGL_2_latlon.15x.15_{DAY}{hour:02}_P{step:03}_{number:05}.grib2"
    return Plan(f"{TOP}/model_gem_global/15km/grib2/lat_lon/{hour:02}/{step:03}/{name}", size,
                b"GRIB\x00\x00\x00\x02" + size.to_bytes(8, "big") + name.encode(), b"7777", False)


def pieces(plan, letters, rng):
    """The contents, a megabyte at a time: head, filling, tail."""
    left = plan.size - len(plan.head) - len(plan.tail)
    yield plan.head[:plan.size - len(plan.tail)]
    while left > 0:
        length = min(left, MEGABYTE)
        start = rng.randrange(len(letters) // 2)
        text = plan.text and length <= len(letters) - start
        yield letters[start:start + length] if text else rng.randbytes(length)
        left -= length
    yield plan.tail


def write(root, plan, letters, rng):
    path = os.path.join(root, plan.rel_path)
    sha512, md5, size = hashlib.sha512(), hashlib.md5(), 0
    try:
        file = open(path, "wb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(path, "wb")
    with file:
        for piece in pieces(plan, letters, rng):
            file.write(piece)
            sha512.update(piece)
            md5.update(piece)
            size += len(piece)
    midnight = calendar.timegm((2025, 11, 20, 0, 0, 0))
    mtime_ns = (midnight * 1000 + rng.randrange(86_400_000)) * 1_000_000
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return Entry(plan.rel_path, size, sha512.digest(), md5.digest(), mtime_ns)
