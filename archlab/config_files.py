"""Config files: Python, YAML, JSON and folders, read into checked configs and written back.

A folder is a run directory, a model folder (:mod:`archlab.model_folder`) or a Hugging Face model's. A file that holds
``model`` is a run config; one whose top level has a ``type`` is a model alone. A model can be one of the catalogue,
``{catalog: llama-3}``, with a ``vocab`` and a ``length`` of its own where they are given, or that of a folder,
``{folder: models/llama}``.

A YAML or JSON file with a ``base`` is what it changes of the file of that name beside it, mappings merged at any depth.
One with a ``sweep`` is several run configs, see :mod:`archlab.training.sweeps`.
"""

import difflib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab import catalog, yaml_text
from archlab.config import Config, convert
from archlab.errors import InputError, nearest
from archlab.files import write_text
from archlab.importing import load_file
from archlab.model import Model
from archlab.overrides import override
from archlab.run_config import RunConfig

if TYPE_CHECKING:
    from ml_collections import ConfigDict

RUN_CONFIG = "config.json"
"""The resolved config's name in a run directory, and the config's in a Hugging Face folder."""

SPEC = "spec.json"
"""The spec's name in a model folder."""

CATALOG = "catalog"
"""The key under which a model names an entry of the catalogue."""

FOLDER = "folder"
"""The key under which a model names a folder that it is taken from: a run's, a model's or a Hugging Face model's."""

BASE = "base"
"""The key under which a file names the one that it changes."""

SWEEP = "sweep"
"""The key under which a file lists values of a sweep."""

_USER_TYPE = re.compile(r"(?P<file>\S+\.py):(?P<name>[A-Za-z_]\w*)")


def load(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig | Model:
    """The config in a ``.py``, ``.yaml``, ``.yml`` or ``.json`` file or in a run directory, or a catalogue's model.

    A Python file is code and is executed; its ``get_config()`` returns a ConfigDict, a dict or a config.
    Paths of user files (``type: my_mixer.py:MyMixer``) are looked up beside the config file, then in the
    working directory. ``overrides`` are ``key=value`` texts, see :func:`archlab.overrides.override`.
    A name of the catalogue goes before a run directory of that name: ``./llama-3`` means the directory.
    """
    if in_catalog(path):
        return override(catalog.model(str(path)), overrides)
    data = read(path)
    if _is_hugging_face(data) and Path(path).is_dir():
        from archlab.hf.folders import load_spec

        return override(load_spec(path), overrides)
    if isinstance(data, dict) and SWEEP in data:
        raise InputError(f"{path} is a sweep of several runs; start it with archlab sweep {path}")
    try:
        config = from_data(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return override(config, overrides)


def read(path: str | Path) -> Any:
    """The plain data of a config file or run directory, with its base merged in and users' files found."""
    file = _locate(Path(path).expanduser())
    return _with_base(file, ())


def _with_base(file: Path, above: tuple[Path, ...]) -> Any:
    """The data of a file on top of that of its base."""
    if file.resolve() in above:
        raise InputError(f"{file} is its own base, by way of {', '.join(str(p) for p in above)}; break the circle")
    data = _with_user_files(_READERS[file.suffix](file), file.parent)
    if not isinstance(data, dict) or BASE not in data:
        return data
    base = convert(str, data[BASE], f"{file}: {BASE}")
    below = _with_base(_locate(file.parent / base), (*above, file.resolve()))
    return merge(below, {key: value for key, value in data.items() if key != BASE})


def merge(base: Any, changes: Any) -> Any:
    """``base`` with ``changes`` put over it: mappings key by key at any depth, anything else as a whole.

    A mapping of another ``type`` (or another entry of the catalogue) takes the place of the old one: equal names may
    mean different defaults.
    """
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    if any(key in changes and base.get(key) != changes[key] for key in ("type", CATALOG, FOLDER)):
        return changes
    return base | {key: merge(base[key], value) if key in base else value for key, value in changes.items()}


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Like :func:`load`, for files that must hold a whole run config."""
    config = load(path, overrides)
    if isinstance(config, RunConfig):
        return config
    raise InputError(f"{path} describes a model alone; a run config with model, data and train is needed here")


def load_model(path: str | Path, overrides: Sequence[str] = ()) -> Model:
    """The model in any config file, of a run config too; ``overrides`` start from the file's top level."""
    config = load(path, overrides)
    return config.model if isinstance(config, RunConfig) else config


def from_data(data: Any) -> RunConfig | Model:
    """A run config or a model from plain data."""
    if isinstance(data, dict) and "model" in data:
        return RunConfig.from_dict(data | {"model": _written_out(data["model"], "model.")})
    if isinstance(data, dict) and ("type" in data or CATALOG in data or FOLDER in data):
        return Model.from_dict(_written_out(data, ""))
    if _is_hugging_face(data):
        from archlab.hf.folders import spec_of

        return spec_of(data)
    if isinstance(data, dict) and {"hash", "spec"} <= data.keys():
        return Model.from_dict(data["spec"])
    held = f"its keys are {', '.join(map(str, data)) or 'none'}" if isinstance(data, dict) else "it is no mapping"
    raise InputError(
        f"the config holds neither 'model' (a run config) nor 'type' or '{CATALOG}' (a model alone); {held}"
    )


def _is_hugging_face(data: Any) -> bool:
    """Whether it is the ``config.json`` of a Hugging Face model."""
    return isinstance(data, dict) and "model_type" in data


def in_catalog(path: str | Path) -> bool:
    """Whether ``path`` is a name of the catalogue and not a file's."""
    return isinstance(path, str) and not is_file_name(path) and path in catalog.names()


def is_file_name(name: str) -> bool:
    """Whether ``name`` has a slash or ends as a config file does."""
    return "/" in name or Path(name).suffix in _READERS


def _written_out(data: Any, where: str) -> Any:
    """``data`` with a ``{catalog: name}`` or ``{folder: path}`` at ``where`` written out; anything else as it is."""
    if isinstance(data, dict) and FOLDER in data:
        return _from_folder(data, where)
    if not isinstance(data, dict) or CATALOG not in data:
        return data
    sizes: dict[str, Any] = {key: value for key, value in data.items() if key != CATALOG}
    for key, value in sizes.items():
        if key not in ("vocab", "length"):
            how = "more is changed on the command line, or in what `archlab catalog NAME` prints"
            raise InputError(f"{where}{key}: unknown beside '{CATALOG}'; {nearest(key, ('vocab', 'length'))} ({how})")
        convert(int, value, f"{where}{key}")
    name = convert(str, data[CATALOG], f"{where}{CATALOG}")
    try:
        return catalog.model(name, **sizes).to_dict()
    except InputError as error:
        raise InputError(f"{where}{CATALOG}: {error}") from None


def _from_folder(data: dict[str, Any], where: str) -> Any:
    for key in data.keys() - {FOLDER}:
        raise InputError(f"{where}{key}: unknown beside '{FOLDER}'; the model is taken from there as it is")
    return load_model(convert(str, data[FOLDER], f"{where}{FOLDER}")).to_dict()


def save(config: Config, path: str | Path) -> None:
    """Write a config as YAML or JSON, by the suffix of ``path``; :func:`load` gives back an equal one."""
    path = Path(path)
    writers: dict[str, Callable[[Any], str]] = {".json": _json_text, ".yaml": yaml_text.write, ".yml": yaml_text.write}
    if path.suffix not in writers:
        raise InputError(f"{path}: configs are written as .yaml, .yml or .json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, writers[path.suffix](config.to_dict()))


def to_config_dict(config: Config) -> "ConfigDict":
    """A config as an ``ml_collections.ConfigDict``, with attribute access inside lists too."""
    from ml_collections import ConfigDict

    def wrap(value: Any) -> Any:
        if isinstance(value, dict):
            return ConfigDict({k: wrap(v) for k, v in value.items()})
        return [wrap(v) for v in value] if isinstance(value, list) else value

    return wrap(config.to_dict())


def from_config_dict(data: "ConfigDict") -> RunConfig | Model:
    """The run config or model in a ConfigDict; references and placeholders inside are resolved."""
    return from_data(_plain(data))


# --- reading ------------------------------------------------------------------------------------------


def _read_python(file: Path) -> Any:
    module = load_file(file)
    if not callable(getattr(module, "get_config", None)):
        raise InputError(f"{file} defines no get_config(); a Python config returns the config from it")
    try:
        return _plain(module.get_config())
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except Exception as error:
        raise InputError(f"{file}: get_config() failed with {type(error).__name__}: {error}") from error


def _plain(value: Any) -> Any:
    """Dicts, lists and scalars from configs and ConfigDicts, however they are nested."""
    from ml_collections import ConfigDict

    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, (dict, ConfigDict)):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read_yaml(file: Path) -> Any:
    text = _text(file)
    try:
        return yaml_text.parse(text)
    except ValueError as error:
        raise InputError(f"{file} is not readable YAML: {error}") from None


def _read_json(file: Path) -> Any:
    text = _text(file)
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"at line {error.lineno}, column {error.colno}"
        raise InputError(f"{file} is not readable JSON: {error.msg} {place}") from None
    except ValueError as error:
        raise InputError(f"{file} is not readable JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one mapping")
    return data


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not a text file in UTF-8") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _json_text(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_READERS: dict[str, Callable[[Path], Any]] = {
    ".py": _read_python,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
}


# --- finding files --------------------------------------------------------------------------------------


def _locate(path: Path) -> Path:
    """The file that ``path`` means: itself, or the config of a run directory."""
    if path.is_dir():
        for name in (RUN_CONFIG, SPEC):
            if (path / name).is_file():
                return path / name
        raise InputError(f"{path} is a folder without {RUN_CONFIG}: neither a run directory nor a config file")
    if not path.is_file():
        raise InputError(f"no such config: {path}; {_nearest_name(path) or _nearby(path)}")
    if path.suffix not in _READERS:
        raise InputError(f"{path}: a config file ends in {', '.join(_READERS)}")
    return path


def _nearest_name(path: Path) -> str | None:
    """What a name that is no file's may mean in the catalogue."""
    close = [] if is_file_name(str(path)) else difflib.get_close_matches(str(path), catalog.names(), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}, which archlab catalog lists?" if close else None


def _nearby(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    names = sorted(p.name for p in folder.iterdir() if p.suffix in _READERS or (p / RUN_CONFIG).is_file())
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
    if close:
        return f"did you mean {folder / close[0]}?"
    return f"the configs in {folder} are: {', '.join(names)}" if names else f"there are no configs in {folder}"


def _with_user_files(data: Any, folder: Path) -> Any:
    """``data`` with every type of a user's file that lies in ``folder`` named by its whole path."""
    if isinstance(data, dict):
        return {key: _with_user_files(value, folder) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_user_files(value, folder) for value in data]
    match = _USER_TYPE.fullmatch(data) if isinstance(data, str) else None
    if match and (folder / match["file"]).is_file():
        return f"{(folder / match['file']).resolve()}:{match['name']}"
    return data
