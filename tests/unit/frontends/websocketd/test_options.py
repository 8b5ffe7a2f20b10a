"""Options: what they come to, and what is wrong with them."""

from __future__ import annotations

import pytest

from duologue.frontends.websocketd.options import FLAGS, Stop, read


def which(name):
    return None if name == "missing" else f"/bin/{name}"


def config(*words):
    return read([*words, "cat", "-u"], which)


def stopped(*words):
    with pytest.raises(Stop) as stop:
        read(words, which)
    return stop.value


def test_defaults():
    ours = config()
    assert ours.command == ("/bin/cat", "-u")
    assert (ours.port, ours.addresses, ours.max_forks, ours.max_size) == (80, (), 1024, 1_048_576)
    assert ours.guards_host and ours.guards_origin and ours.log_level == "access"


def test_defaults_of_the_original():
    theirs = config("--strict-compat")
    bounds = theirs.max_forks, theirs.max_size, theirs.max_line, theirs.ping_interval
    assert bounds == (None, None, None, None)
    assert not theirs.guards_host and not theirs.guards_origin


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--port=8080"], "port", 8080),
        (["--address", "[::1]", "--address=10.0.0.1"], "addresses", ("[::1]", "10.0.0.1")),
        (["--redirport=81"], "redirect_port", 81),
        (["--unixsocket=/x"], "listen_tcp", False),
        (["--ssl", "--sslcert=c", "--sslkey=k"], "port", 443),
        (["--ssl", "--sslcert=c", "--sslkey=k", "--sslca=a"], "ca", "a"),
        (["--binary"], "binary", True),
        (["--passenv=A, B,,C"], "pass_env", ("A", "B", "C")),
        (["--passstderr"], "pass_stderr", True),
        (["--closems=1500"], "close_delay", 1.5),
        (["--pingms=250"], "ping_interval", 0.25),
        (["--maxforks=3"], "max_forks", 3),
        (["--maxforks=-1"], "max_forks", None),
        (["--maxframesize=9"], "max_size", 9),
        (["--maxframesize=0"], "max_size", None),
        (["--maxlinesize=9"], "max_line", 9),
        (["--sameorigin"], "same_origin", True),
        (["--sameorigin=false"], "guards_origin", False),
        (["--origin=a.example"], "guards_origin", False),
        (["--address=0.0.0.0"], "guards_host", False),
        (["--reverselookup"], "reverse_lookup", True),
        (["--devconsole"], "dev_console", True),
        (["--loglevel=none"], "log_level", "none"),
        (["--share", "--shareformat=json"], "share_format", "json"),
        (["--restart=always"], "restart", "always"),
        (["--rate=5"], "rate", 5),
        (["--exithook=log 'a b'"], "exit_hook", ("/bin/log", "a b")),
        (["--header=x-a:  b "], "headers", (("X-A", "b "),)),
        (["--header-ws=nothing"], "headers_ws", (("Nothing", ""),)),
        (["--header-http=a: b:c"], "headers_http", (("A", "b:c"),)),
    ],
)
def test_each_option(words, name, value):
    assert getattr(config(*words), name) == value != getattr(config(), name)


def test_what_an_option_leaves_as_it_is():
    assert config("--unixsocket=/x", "--port=81").listen_tcp
    assert config("--address=0.0.0.0").guards_origin


def test_directories(tmp_path):
    ours = read([f"--dir={tmp_path}", f"--staticdir={tmp_path}", f"--cgidir={tmp_path}"], which)
    assert ours.script_dir == ours.static_dir == ours.cgi_dir == str(tmp_path)
    assert ours.command == ()


def test_nothing_at_all():
    stop = stopped()
    assert (stop.code, stop.output) == (1, "Command line arguments are missing.\n")
    assert "Usage:" in stop.errors


@pytest.mark.parametrize("word", ["--help", "--version", "--license"])
def test_what_only_prints(word):
    stop = stopped(word)
    assert stop.code == 0 and stop.output and not stop.errors


def test_help_names_every_option():
    text = stopped("--help").output
    assert [flag.name for flag in FLAGS if f"  -{flag.name}" not in text] == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--port=1"], "Please specify COMMAND or provide --dir, --staticdir or --cgidir"),
        (["--devconsole"], "Please specify COMMAND"),
        (["missing"], "Unable to locate specified COMMAND 'missing' in OS path."),
        (["--dir=/tmp", "cat"], "Ambiguous. Provided COMMAND and --dir argument."),
        (["--dir=/nowhere/at/all"], "Could not find your script dir '/nowhere/at/all'."),
        (["--dir=/etc/passwd"], "Did you mean to specify COMMAND instead of --dir"),
        (["--cgidir=/etc/passwd"], "Your CGI dir '/etc/passwd' is not pointing to an accessible"),
        (["--cgidir=/nowhere"], "Your CGI dir '/nowhere' is not"),
        (["--staticdir=/nowhere"], "Your static dir '/nowhere' is not"),
        (["--ssl", "cat"], "Please specify both --sslcert and --sslkey"),
        (["--ssl", "--sslcert=x", "cat"], "Please specify both"),
        (["--sslcert=x", "cat"], "You should not be using --ssl* flags"),
        (["--sslca=x", "cat"], "You should not be using --ssl* flags"),
        (["--passstderr", "--binary", "cat"], "--passstderr"),
        (["--share", "--binary", "cat"], "cannot be used with --binary"),
        (["--share", "--passstderr", "cat"], "cannot be used with --passstderr"),
        (["--shareformat=json", "cat"], "--shareformat is for --share"),
        (["--share", "--dir=/tmp"], "--share needs a COMMAND"),
        (["--share", "--shareformat=xml", "cat"], "--shareformat is one of"),
        (["--restart=maybe", "cat"], "--restart is one of"),
        (["--exithook=missing x", "cat"], "Unable to locate specified --exithook 'missing'"),
        (["--origin=a b", "cat"], "--origin wants"),
        (["--exithook='", "cat"], "quotation"),
        (["--header=a b: c", "cat"], "--header wants"),
        (["--header-ws=a: b\r\nc: d", "cat"], "--header wants"),
    ],
)
def test_exit_code_1(words, text):
    stop = stopped(*words)
    assert stop.code == 1 and text in stop.errors and not stop.output


def test_the_level_is_complained_of_on_standard_output():
    stop = stopped("--loglevel=foo", "cat")
    text = "Incorrect loglevel flag 'foo'. Use --help to see allowed values.\n"
    assert (stop.code, stop.output) == (1, text)


@pytest.mark.parametrize("word", ["--odd", "--port=x", "--port", "--binary=maybe"])
def test_exit_code_2(word):
    stop = stopped(word)
    assert stop.code == 2 and "Usage of" in stop.errors and not stop.output
