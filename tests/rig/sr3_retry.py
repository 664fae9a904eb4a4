"""Entries of sr3's own retry lists: jsonpickle's JSON of a message, as sr3 3.00 writes it."""
import base64
import json
import time

from rig.announcer import time_text

LOCAL_FIELDS = ["new_file", "new_path", "new_dir", "new_subtopic", "noDupe", "subtopic",
                "new_inflight_path", "_format", "new_relPath", "local_offset", "new_baseUrl",
                "exchange", "post_format"]


def retry_entry(entry, base_url, exchange="xpublic"):
    """One line of text. The destination is one of another configuration, which does not count."""
    directories, name = entry.rel_path.split("/")[:-1], entry.rel_path.split("/")[-1]
    mtime = time_text(entry.mtime_ns, "T")
    # sr3 breaks long values as python's base64 does
    value = base64.encodebytes(entry.digest).decode().strip()
    return json.dumps({
        "py/object": "sarracenia.Message", "_format": "v02",
        "_deleteOnPost": {"py/set": LOCAL_FIELDS}, "mtime": mtime, "atime": mtime,
        "mode": f"{entry.mode:o}", "from_cluster": "DDI.CMC", "source": "metpx",
        "to_clusters": "ALL", "pubTime": time_text(time.time_ns(), "T"), "baseUrl": base_url,
        "relPath": entry.rel_path, "subtopic": directories,
        "identity": {"method": "sha512", "value": value}, "size": entry.size,
        "exchange": exchange, "local_offset": 0, "new_dir": "/nowhere/" + "/".join(directories),
        "new_file": name, "post_format": "v03", "new_baseUrl": base_url,
        "new_relPath": f"nowhere/{entry.rel_path}", "new_subtopic": {"py/id": 2},
        "noDupe": {"key": f"sha512,{value}".replace("\n", ""), "path": entry.rel_path},
        "new_inflight_path": f"{name}.tmp", "new_path": f"/nowhere/{entry.rel_path}",
        "__dict__": {}})


def list_name(queue):
    """Of the list that is ready to be tried; what was added lately is in `NAME.new`."""
    return f"sr3.retry_queue.work_retry.subscribe.{queue}"
