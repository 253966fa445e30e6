"""A web server on this computer, in place of the addresses of weights and data."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class WebFolder:
    """A folder whose files have addresses.

    Attributes
    ----------
    path : Path
        The folder.
    url : str
        Its address, without a slash at the end.
    requests : list of str
        Names that were asked for.
    """

    path: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)


class _Quiet(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, requests: list[str], **kwargs: Any) -> None:
        self.requests = requests
        super().__init__(*args, **kwargs)

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.requests.append(self.path.strip("/"))
        super().do_GET()


@contextmanager
def serve(folder: Path) -> Iterator[WebFolder]:
    """Serve the files of a folder on the loopback address."""
    served = WebFolder(folder)
    handler = partial(_Quiet, directory=str(folder), requests=served.requests)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()
