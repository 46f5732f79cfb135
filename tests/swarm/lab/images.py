"""The images of a lab: Backpack's own by its Dockerfile, and stand-ins for those of a registry,
made of Debian's packages and of `tools`. They have the names that stacks ask for."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import tools
from .boxes import run
from .daemons import Daemon

ROOT = Path(__file__).parents[3]

PYTHON = "python:3.11-slim-bookworm"
DOCKER = "docker:28.2.2-cli"
MONGO = "mongo:8.0.17"
REDIS = "redis:7.4.6-alpine"
NGINX = "nginx:1.28.0-alpine"
TRAEFIK = "traefik:v3.7.15"
BACKPACK = "backpack:latest"

_PROGRAMS = {  # what a lab needs on this machine, and the Debian package of each
    "dockerd": "docker.io",
    "docker": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "go": "golang (1.22 or newer)",
}
_APPLETS = (
    "sh ls cat sleep ps wget nc id mkdir mv rm ln tar env hostname grep sed kill chmod test timeout"
)
_PARTS = (".dockerignore", "LICENSE", "README.md", "backpack", "pyproject.toml", "sdk", "setup.cfg")
_TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
_KEPT = 6  # of each thing in the cache, of different versions of this tree


def missing() -> str | None:
    """Why there can be no lab on this machine; None when there can."""
    if os.geteuid() != 0:
        return "needs to be root: a lab makes namespaces and runs Docker daemons"
    lacks = [package for name, package in _PROGRAMS.items() if not shutil.which(name)]
    return f"needs more Debian packages: {' '.join(lacks)}" if lacks else None


class Images:
    """Makes what is not in the cache, and says which tars to load into a daemon."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._key = _hash([*tools.sources(), Path(__file__)])
        self.tools = tools.Tools(cache, _hash(tools.sources()))
        self._builder: Daemon | None = None

    def make(self) -> list[Path]:
        """The tars of all images; takes about two minutes the first time, ten seconds when
        Backpack has changed, and no time otherwise."""
        others = self._tar("images", self._key)
        product = self._tar("backpack", self._product_key())
        tars = [others, product]
        if self.tools.folder.is_dir() and all(tar.exists() for tar in tars):
            for tar in tars:
                tar.touch()
            return tars
        self._cache.mkdir(parents=True, exist_ok=True)
        with self._lock(), self._build_folder() as folder:
            self.tools.make()
            self._keep("images", others, folder, self._make_others)
            self._keep("backpack", product, folder, self._make_product)
        return tars

    def _tar(self, name: str, key: str) -> Path:
        return self._cache / f"swarm-{name}-{key}.tar"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self._cache / "swarm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _build_folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="backpack-build-") as name:
            try:
                yield Path(name)
            finally:
                if self._builder:
                    self._builder.stop()
                    self._builder = None

    def _keep(self, name: str, tar: Path, folder: Path, make: Callable[[Path], list[str]]) -> None:
        """Make a tar of the cache when it is not there; old ones of that name go."""
        if not tar.exists():
            images = make(folder)
            self._docker(folder, "save", "--output", f"{tar}.new", *images)
            Path(f"{tar}.new").rename(tar)
        tar.touch()
        for old in _all_but_newest(self._cache.glob(f"swarm-{name}-*.tar")):
            old.unlink()

    def _product_key(self) -> str:
        files = [
            path
            for part in (*_PARTS, "swarm")
            for path in _files(ROOT / part)
            if not {"node_modules", "__pycache__"} & set(path.parts)
        ]
        return _hash([*files, Path(__file__)])

    def _make_product(self, folder: Path) -> list[str]:
        self._make_base(folder)
        # The old builder: what the Dockerfile needs of BuildKit comes from a registry.
        self._docker(
            folder,
            *("build", "--network", "host", "--tag", BACKPACK, "--file", "swarm/Dockerfile", "."),
            DOCKER_BUILDKIT="0",
        )
        return [BACKPACK]

    def _make_base(self, folder: Path) -> None:
        """What the Dockerfile is based on."""
        if self._docker(folder, "images", "--quiet", PYTHON):
            return
        tar = folder / "base.tar"
        run(
            *("mmdebstrap", "--variant=apt", "--include=ca-certificates,python3,python3-venv"),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
            '--customize-hook=chroot "$1" python3 -m venv /usr/local',
            # So that it reaches package registries as this machine does.
            f"--customize-hook=upload {_TRUSTED} {_TRUSTED}",
            f"--customize-hook=printf '[global]\\ncert = {_TRUSTED}\\n' >\"$1/etc/pip.conf\"",
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
            *("bookworm", str(tar)),
        )
        path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._docker(folder, "import", "--change", path, str(tar), PYTHON)
        client = folder / "docker-cli"
        _install(client, Path("usr/local/bin/docker"), Path(str(shutil.which("docker"))))
        self._import(folder, client, DOCKER)

    def _make_others(self, folder: Path) -> list[str]:
        redis = _tree(folder / "redis", "redis-server", "redis-cli")
        _own(redis / "data", 999)
        self._import(folder, redis, REDIS, 'CMD ["redis-server"]', "WORKDIR /data", "VOLUME /data")
        nginx = _tree(folder / "nginx", "nginx")
        shutil.copy("/etc/nginx/mime.types", nginx / "etc")
        for name in ("lib", "log", "cache"):
            (nginx / "var" / name / "nginx").mkdir(parents=True)
        self._import(folder, nginx, NGINX, 'CMD ["nginx", "-g", "daemon off;"]')
        traefik = _tree(folder / "traefik")
        _install(traefik, Path("usr/local/bin/traefik"), self.tools["traefik"])
        self._import(folder, traefik, TRAEFIK, 'ENTRYPOINT ["/usr/local/bin/traefik"]')
        mongo = _tree(folder / "mongo")
        _install(mongo, Path("usr/bin/mongod"), self.tools["mongod"])
        self._import(folder, mongo, MONGO, 'CMD ["mongod"]', "VOLUME /data/db /data/configdb")
        return [REDIS, NGINX, TRAEFIK, MONGO]

    def _import(self, folder: Path, tree: Path, image: str, *changes: str) -> None:
        tar = folder / "tree.tar"
        run("tar", "--create", "--file", str(tar), "--directory", str(tree), ".")
        path = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        options = [word for change in (path, *changes) for word in ("--change", change)]
        self._docker(folder, "import", *options, str(tar), image)

    def _docker(self, folder: Path, *words: str, **variables: str) -> str:
        """Run a command of a daemon on this machine's own network, which changes nothing of it."""
        if self._builder is None:
            quiet = ("--bridge=none", "--iptables=false", "--ip-forward=false")
            data = self._cache / f"swarm-builder-{self._key}"
            data.mkdir(exist_ok=True)
            os.utime(data)
            for old in _all_but_newest(self._cache.glob("swarm-builder-*")):
                shutil.rmtree(old)
            self._builder = Daemon(folder, "builder", folder.name, *quiet, data=data)
            self._builder.go()
            self._builder.wait()
        environment = {**os.environ, **variables}
        return run("docker", "--host", self._builder.url, *words, cwd=ROOT, env=environment)


def _all_but_newest(paths: Iterable[Path]) -> list[Path]:
    """What of a kind is to go from the cache."""
    return sorted(paths, key=lambda path: path.stat().st_mtime)[:-_KEPT]


def _tree(root: Path, *programs: str) -> Path:
    """A root folder with some of this machine's programs, their libraries, and a shell."""
    for name in ("bin", "etc", "tmp", "run", "var/tmp", "usr/bin", "lib64", "etc/ssl/certs"):
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    _install(root, Path("bin/busybox"), Path(str(shutil.which("busybox"))))
    for name in _APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    users = {"root": 0, "nginx": 101, "redis": 999, "nobody": 65534}
    lines = (f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in users.items())
    (root / "etc/passwd").write_text("".join(lines))
    (root / "etc/group").write_text("".join(f"{name}:x:{id_}:\n" for name, id_ in users.items()))
    shutil.copy(_TRUSTED, root / "etc/ssl/certs")
    for program in ("bash", *programs):
        source = Path(str(shutil.which(program)))
        _install(root, Path("usr/bin", program), source)
        for library in _libraries(source):
            if not (root / library.relative_to("/")).exists():
                _install(root, library.relative_to("/"), library)
    return root


def _install(root: Path, path: Path, source: Path) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.resolve(), root / path)


def _libraries(program: Path) -> list[Path]:
    words = run("ldd", str(program)).split()
    return [Path(word) for word in words if word.startswith("/") and ".so" in word]


def _own(folder: Path, user: int) -> None:
    folder.mkdir()
    os.chown(folder, user, user)


def _files(part: Path) -> Iterable[Path]:
    return sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]


def _hash(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.name}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def cache() -> Path:
    """The folder where images and tools are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "backpack-ci"
