"""Settings: who wins, where paths start, and what a mistake is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from saga_engine import settings
from saga_engine.errors import NotAllowed, SettingsError
from saga_engine.settings import Exports, Limits, Settings


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder to be in, and no SAGA_ variable from outside."""
    for name in [name for name in os.environ if name.upper().startswith("SAGA_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refusal(**flags: object) -> str:
    with pytest.raises(SettingsError) as error:
        settings.load(None, **flags)
    return str(error.value)


def test_without_any_source_the_defaults_hold_and_paths_start_in_the_working_directory(project: Path) -> None:
    assert settings.load().model_dump(exclude={"limits"}) == {
        "store": f"sqlite:///{project}/.saga/saga.db",
        "store_group": None,
        "workflows": project / "workflows",
        "connections": {},
        "roles": {},
        "exports": {"dir": project / ".saga/exports", "shared": False},
        "actor_from_env": False,
        "profile": None,
    }


def test_the_limits_are_the_constants_of_semantics() -> None:
    assert settings.load().limits.model_dump() == {
        "lease_seconds": 15,
        "renew_seconds": 5,
        "poll_seconds": 0.5,
        "poll_jitter": 0.2,
        "batch_rows": 200,
        "batch_milliseconds": 5,
        "write_lock_milliseconds": 50,
        "grace_seconds": 10,
        "visits_max": 100,
        "transitions_max": 10_000,
        "event_bytes_max": 262_144,
        "input_bytes_max": 1_048_576,
        "result_bytes_max": 1_048_576,
        "inbox_max": 1_000,
        "deferred_days": 7,
        "memory_mib": None,
    }


def test_a_flag_beats_the_environment_beats_dotenv_beats_the_file_beats_the_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store() -> tuple[str, str]:
        found = settings.load(store=flag)
        return found.store, found.origin("store")

    flag = None
    seen = [store()]
    (project / "saga.toml").write_text('store = "sqlite:////from/file.db"')
    seen.append(store())
    (project / ".env").write_text("SAGA_STORE=sqlite:////from/dotenv.db\n")
    seen.append(store())
    monkeypatch.setenv("SAGA_STORE", "sqlite:////from/environment.db")
    seen.append(store())
    flag = "sqlite:////from/flag.db"
    seen.append(store())
    assert seen == [
        (f"sqlite:///{project}/.saga/saga.db", "default"),
        ("sqlite:////from/file.db", f"{project}/saga.toml"),
        ("sqlite:////from/dotenv.db", f"SAGA_STORE in {project}/.env"),
        ("sqlite:////from/environment.db", "SAGA_STORE in the environment"),
        ("sqlite:////from/flag.db", "flag --store"),
    ]


def test_sources_are_joined_key_by_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "saga.toml").write_text(
        '[limits]\nlease_seconds = 30\n[roles]\ndba = ["ann", "bob"]\n[connections]\nshop = "env:SHOP"\n'
    )
    monkeypatch.setenv("SAGA_LIMITS__RENEW_SECONDS", "3")
    monkeypatch.setenv("SAGA_CONNECTIONS", '{"dw": "env:DW"}')
    found = settings.load()
    assert (found.limits, found.roles, found.connections) == (
        Limits(lease_seconds=30, renew_seconds=3),
        {"dba": ("ann", "bob")},
        {"shop": "env:SHOP", "dw": "env:DW"},
    )
    assert [found.origin(f"limits.{name}_seconds") for name in ("lease", "renew", "grace")] == [
        f"{project}/saga.toml",
        "SAGA_LIMITS__RENEW_SECONDS in the environment",
        "default",
    ]
    assert found.origin("connections.dw") == "SAGA_CONNECTIONS in the environment"


def test_the_file_is_found_upwards_and_its_paths_start_at_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.saga]\nstore = "sqlite:///state/saga.db"\nworkflows = "flows"\n'
        '[tool.saga.connections]\nshop = "sqlite:///shop.db"\nsecret = "file:dw.url"\n'
        '[tool.saga.exports]\ndir = "out"\n'
    )
    (project / "dw.url").write_text("sqlite:///dw.db\n")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = settings.load()
    assert (found.store, found.workflows, found.exports) == (
        f"sqlite:///{project}/state/saga.db",
        project / "flows",
        Exports(dir=project / "out"),
    )
    assert found.connection("shop").get_secret_value() == f"sqlite:///{project}/shop.db"
    assert found.connection("secret").get_secret_value() == f"sqlite:///{project}/dw.db"


def test_paths_in_variables_and_flags_start_in_the_working_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "saga.toml").touch()
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    monkeypatch.setenv("SAGA_STORE", "sqlite:///mine.db")
    found = settings.load(workflows="flows")
    assert (found.store, found.workflows) == (f"sqlite:///{below}/mine.db", below / "flows")


def test_a_pyproject_without_our_table_is_passed_by(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "saga.toml").write_text('store = "sqlite:////above.db"')
    below = project / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text('[project]\nname = "theirs"\n')
    monkeypatch.chdir(below)
    assert settings.load().store == "sqlite:////above.db"


def test_the_store_may_be_a_table_with_its_group(project: Path) -> None:
    (project / "saga.toml").write_text('[store]\nurl = "sqlite:////srv/saga.db"\ngroup = "dba"\n')
    found = settings.load()
    assert (found.store, found.store_group) == ("sqlite:////srv/saga.db", "dba")


def test_a_profile_is_laid_over_the_rest_of_its_file(project: Path) -> None:
    (project / "saga.toml").write_text(
        'store = "sqlite:////dev.db"\nworkflows = "flows"\n[profiles.prod]\nstore = "env:PROD_STORE"\n'
    )
    found = settings.load(profile="prod")
    assert (found.store, found.workflows, found.profile) == ("env:PROD_STORE", project / "flows", "prod")
    assert found.origin("store") == f"{project}/saga.toml [profiles.prod]"


def test_the_file_may_choose_the_profile_itself(project: Path) -> None:
    (project / "saga.toml").write_text('profile = "dev"\n[profiles.dev]\nstore = "sqlite:////dev.db"\n')
    assert settings.load().store == "sqlite:////dev.db"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stroe = 'x'", "{file}: stroe is no setting. Did you mean store?"),
        ("[limits]\nlease_secs = 3", "{file}: limits.lease_secs is no setting. Did you mean limits.lease_seconds?"),
        ("[store]\npath = 'x'", "{file}: store.path is no setting. Did you mean store?"),
        (
            "[limits]\nlease_seconds = 'long'",
            "{file}: limits.lease_seconds: Input should be a valid number, unable to parse string as a number",
        ),
        ("[limits]\ngrace_seconds = inf", "{file}: limits.grace_seconds: Input should be a finite number"),
        ("[limits]\nbatch_rows = 0", "{file}: limits.batch_rows: Input should be greater than 0"),
        (
            "[limits]\nlease_seconds = 4",
            "{file}: limits: Value error, renew_seconds must fit at least twice into lease_seconds",
        ),
        ("limits = 3", "{file}: limits: Input should be a table of settings"),
        ("[roles]\ndba = 'ann'", '{file}: roles.dba: Input should be a list, such as ["ann", "bob"]'),
        (
            "[connections]\ndw = 'keyring:dw/me'",
            "{file}: connections.dw: keyring needs the extra saga-engine[keyring], which this version lacks; write env:NAME or file:PATH",  # noqa: E501
        ),
        ("[connections]\ndw = 'env:'", "{file}: connections.dw: env: names nothing; write env:NAME or file:PATH"),
        (
            "[connections]\ndw = 'my warehouse'",
            "{file}: connections.dw: this is no database URL and no reference; write a URL, env:NAME or file:PATH",
        ),
        (
            "[connections]\ndw = 'postgresql://me:hunter2@h/db'",
            "{file}: connections.dw: a password does not belong into this file; write env:NAME or file:PATH",
        ),
        (
            "store = 'postgresql://h/db?password=hunter2'",
            "{file}: store: a password does not belong into this file; write env:NAME or file:PATH",
        ),
        ("profile = 'prod'", "{file}: there is no [profiles.prod]. Profiles: none."),
        ("profile = [1]", "{file}: profile: Input should be a valid string"),
        ("profiles = 3", "{file}: profiles: Input should be a table of settings for each name"),
        ("profile = 'dev'\n[profiles]\ndev = 'x'", "{file}: profiles.dev: Input should be a table of settings"),
        ("store = ", "{file} is no TOML: Invalid value (at end of document)"),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_remedy(project: Path, text: str, told: str) -> None:
    file = project / "saga.toml"
    file.write_text(text)
    assert refusal() == told.format(file=file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool]\nsaga = 'x'", "{file}: tool.saga: Input should be a table of settings"),
        ("[tool.saga]\nprofiles = 3", "{file}: profiles: Input should be a table of settings for each name"),
    ],
)
def test_a_mistake_in_a_pyproject_is_told_as_well(project: Path, text: str, told: str) -> None:
    file = project / "pyproject.toml"
    file.write_text(text)
    assert refusal() == told.format(file=file)


def test_a_pyproject_whose_tool_is_no_table_is_passed_by(project: Path) -> None:
    (project / "pyproject.toml").write_text("tool = 3\n")
    assert settings.load().store == f"sqlite:///{project}/.saga/saga.db"


def test_a_folder_above_that_may_not_be_searched_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    plain = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent == project:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert refusal() == (
        f"{project} cannot be searched for settings: Permission denied; make your own saga.toml in {below}"
    )
    (below / "saga.toml").touch()
    assert settings.load().workflows == below / "workflows"


def test_a_working_directory_that_was_removed_is_told(project: Path) -> None:
    project.rmdir()
    assert refusal() == "The working directory is gone; go into one that is there, and try again"


def test_every_mistake_of_a_file_is_told_at_once(project: Path) -> None:
    (project / "saga.toml").write_text("stroe = 1\n[limits]\ngrace_seconds = -1\n")
    assert refusal().splitlines() == [
        f"{project}/saga.toml: limits.grace_seconds: Input should be greater than 0",
        f"{project}/saga.toml: stroe is no setting. Did you mean store?",
    ]


def test_a_mistake_in_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_LIMITS__GRACE_SECONDS", "soon")
    assert refusal() == (
        "SAGA_LIMITS__GRACE_SECONDS in the environment: limits.grace_seconds: "
        "Input should be a valid number, unable to parse string as a number"
    )


def test_a_variable_that_should_be_json_and_is_not_is_told_how_to_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_ROLES", "ann,bob")
    assert refusal() == (
        'the environment: error parsing value for field "roles" from source "EnvSettingsSource"; '
        "write JSON, or one variable for each key: SAGA_ROLES__DBA"
    )


def test_a_file_that_is_not_text_is_refused(project: Path) -> None:
    (project / "saga.toml").write_bytes(b"store = '\xff'")
    assert refusal().startswith(f"{project}/saga.toml cannot be read: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_above_that_another_user_planted_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = project / "saga.toml"
    planted.write_text('workflows = "/tmp/evil"')
    os.chown(planted, 65534, 65534)
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert refusal() == f"{planted} belongs to another user and is not used: make your own saga.toml in {below}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
@pytest.mark.parametrize("name", ["saga.toml", "pyproject.toml", ".env"])
def test_a_link_above_that_another_user_planted_is_refused_wherever_it_leads(
    project: Path, tmp_path_factory: pytest.TempPathFactory, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path_factory.mktemp("elsewhere") / "ours"
    ours.write_text("[tool.saga]\n" if name == "pyproject.toml" else "")
    if name == ".env":
        (project / "saga.toml").touch()
    planted = project / name
    planted.symlink_to(ours)
    os.lchown(planted, 65534, 65534)
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert refusal() == f"{planted} belongs to another user and is not used: make your own saga.toml in {below}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_link_of_ones_own_to_a_file_of_another_user_is_refused_and_to_one_of_ones_own_is_followed(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path_factory.mktemp("elsewhere") / "kept.toml"
    kept.write_text('workflows = "flows"')
    (project / "saga.toml").symlink_to(kept)
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert settings.load().workflows == project / "flows"
    os.chown(kept, 65534, 65534)
    assert refusal().startswith(f"{project}/saga.toml belongs to another user and is not used: ")


def test_a_connection_resolves_from_the_environment_and_from_dotenv(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("DW_URL=postgresql+psycopg://me:from-dotenv@h/dw\nSHOP_URL=sqlite:////old.db\n")
    monkeypatch.setenv("SHOP_URL", "sqlite:////shop.db")
    found = settings.load(connections={"dw": "env:DW_URL", "shop": "env:SHOP_URL"})
    assert found.connection("dw").get_secret_value() == "postgresql+psycopg://me:from-dotenv@h/dw"
    assert found.connection("shop").get_secret_value() == "sqlite:////shop.db"
    assert str(found.connection("dw")) == "**********"


def test_the_store_may_be_a_reference_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_URL", "postgresql+psycopg://me@h/saga")
    assert settings.load(store="env:STORE_URL").store_url().get_secret_value() == "postgresql+psycopg://me@h/saga"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (
            "env:NOT_THERE",
            "connections.dw: the environment variable NOT_THERE is not set; set it, or write it into .env",
        ),
        (
            "file:nowhere",
            "connections.dw: {project}/nowhere cannot be read: No such file or directory; put the URL there, readable for you alone",  # noqa: E501
        ),
        (
            "file:prose",
            "connections.dw: file:{project}/prose holds no database URL; write one like postgresql+psycopg://host/db",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_says_where_it_looked(project: Path, reference: str, told: str) -> None:
    (project / "prose").write_text("ask Ann")
    found = settings.load(connections={"dw": reference})
    with pytest.raises(SettingsError) as error:
        found.connection("dw")
    assert str(error.value) == told.format(project=project)


def test_an_unknown_connection_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingsError) as error:
        settings.load(connections={"shop": "sqlite:///shop.db"}).connection("shp")
    assert str(error.value) == "No connection is called shp. Known: shop. Add it under [connections] in saga.toml."


def test_settings_cannot_be_changed() -> None:
    found = settings.load()
    with pytest.raises(ValidationError):
        found.store = "sqlite:////other.db"
    with pytest.raises(ValidationError):
        found.limits.batch_rows = 1


def test_settings_made_directly_read_nothing_around_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "saga.toml").write_text('store = "sqlite:////from/file.db"')
    monkeypatch.setenv("SAGA_STORE", "sqlite:////from/environment.db")
    assert Settings().store == "sqlite:///.saga/saga.db"


def test_the_printed_form_of_settings_shows_no_password() -> None:
    found = settings.load(
        store="postgresql+psycopg://me:hunter2@h/saga", connections={"dw": "mysql://me:swordfish@h/dw"}
    )
    printed = f"{found} {found!r}"
    assert ("hunter2" in printed, "swordfish" in printed, "mysql://me:***@h/dw" in printed) == (False, False, True)


def test_a_password_with_quotes_and_blanks_is_not_printed_either() -> None:
    found = settings.load(store="postgresql://me:pa'ss w@h/saga", connections={"dw": 'mysql://me:x"y z@h/dw'})
    printed = f"{found} {found!r}"
    assert [part for part in ("pa", "ss w", "x", "y z") if f"{part}@" in printed or f":{part}" in printed] == []


def test_the_actor_is_the_system_user_whatever_user_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    asked = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert settings.actor(Settings()) == asked


def test_saga_actor_counts_only_where_the_settings_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_ACTOR", "ann")
    assert settings.actor(Settings(actor_from_env=True)) == "ann"
    with pytest.raises(NotAllowed) as error:
        settings.actor(Settings())
    assert str(error.value) == (
        "SAGA_ACTOR is set to ann, and the settings do not allow it: unset it, "
        "or write actor_from_env = true into saga.toml"
    )


@pytest.mark.parametrize("place", ["environment", "dotenv"])
def test_the_environment_cannot_allow_itself_to_name_the_actor(
    place: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv("SAGA_ACTOR_FROM_ENV", "true")
    else:
        (project / ".env").write_text("SAGA_ACTOR_FROM_ENV=true\n")
    assert refusal().endswith(
        "actor_from_env: whoever sets SAGA_ACTOR must not be the one who allows it; set it in saga.toml"
    )


def test_the_shipped_sagas_are_found_beside_a_checkout() -> None:
    assert (settings.shipped_workflows() / "README.md").is_file()


def test_the_wheel_carries_the_shipped_sagas_and_finds_them(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--disable-pip-version-check", "--wheel-dir", tmp_path, root], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("saga_engine-*.whl")
    installed = tmp_path / "installed"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, installed], check=True)
    told = subprocess.run(
        [sys.executable, "-c", "from saga_engine import settings; print(settings.shipped_workflows())"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == f"{installed}/saga_engine/_workflows"
    carried, ours = (
        {path.name for path in folder.glob("*.*")} for folder in (Path(told.stdout.strip()), root / "workflows")
    )
    assert carried == ours
