"""`proofglass serve`: a guarded victim behind an OpenAI-compatible HTTP endpoint."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proofglass.cli.build import by_member, named, plug, put_together
from proofglass.console import Handler, OneLine, note, say
from proofglass.errors import ProofglassError, UsageError
from proofglass.serve.limits import MIB, Limits

if TYPE_CHECKING:
    import socket

    import uvicorn

    from proofglass.interfaces import Victim

_DEFAULT = Limits()
_SHORTEST = 16  # characters of a token


def serve(
    victim: Annotated[str, typer.Argument(metavar="VICTIM", help="A victim; `proofglass list victims` shows all.")],
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "--defense",
            metavar="NAME",
            help="A defense around it, or 'a + b' (a the outer one), as in a study; may be repeated, innermost first.",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="A field of the victim, or DEFENSE.FIELD=VALUE; may be repeated."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8000,
    name: Annotated[str, typer.Option("--name", help="Name of the model for callers. Default: the victim's.")] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the bearer token. Else $PROOFGLASS_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name under which callers reach it (a proxy's)."),
    ] = None,
    allow_remote_images: Annotated[
        list[str] | None,
        typer.Option("--allow-remote-images", metavar="HOST", help="Fetch https images of this host; may be repeated."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Asks answered together.")] = _DEFAULT.batch,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Requests held at once; beyond it 429.")
    ] = _DEFAULT.queue,
    deadline: Annotated[float, typer.Option("--deadline", help="Seconds for one request.")] = _DEFAULT.deadline_s,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="The most that a caller may ask for.")
    ] = _DEFAULT.new_tokens,
    max_images: Annotated[int, typer.Option("--max-images", min=0, help="Images of one request.")] = _DEFAULT.images,
    max_body: Annotated[
        int, typer.Option("--max-body", metavar="MIB", min=1, help="Size of one request.")
    ] = _DEFAULT.body_bytes // MIB,
    show_margins: Annotated[
        bool, typer.Option("--show-margins", help="Tell callers how near each defense was to intervening.")
    ] = False,
    show_reasoning: Annotated[
        bool, typer.Option("--show-reasoning", help="Tell callers what a model that thinks aloud thought.")
    ] = False,
    no_first_ask: Annotated[
        bool, typer.Option("--no-first-ask", help="Do not ask the model for one token before serving.")
    ] = False,
) -> None:
    """A victim behind any stack of defenses, on an OpenAI-compatible HTTP endpoint.

    Any client of OpenAI's chat completions calls it unchanged, with pictures (data: URLs) and with streaming; a
    streamed reply leaves only after the defenses have seen all of it. Every caller sends a bearer token: that of
    --token-file or $PROOFGLASS_TOKEN, or else one made up at the start and shown once. Away from this machine
    (--host) it does not start without a token of yours.

    The last --defense is the outermost: `--defense A --defense B` asks B, then A, then the victim. Inside one, as in a
    study, the first is: `--defense 'B + A'` is the same stack. Fields stand beside a name, `'jpeg: {quality: 50}'` or
    `'jpeg + blur: {blur: {sigma: 2}}'`, or come by --set.

    Pictures at remote addresses are refused unless their host is allowed. Ctrl-C finishes what runs; a second one does
    not wait.

    \b
    Examples:
      proofglass serve testbed-linear --defense system-prompt
      proofglass serve ocr-llm --defense system-prompt --set system-prompt.mode=append --port 9000
      proofglass serve testbed-linear --defense 'system-prompt + jpeg + guard-output' --set jpeg.quality=50 \\
          --set guard-output.judge=llama-guard-4
      proofglass serve llava --set path=models/llava --batch 16 --name my-llava
      proofglass serve testbed-linear --host 0.0.0.0 --token-file token.txt
    """
    from proofglass.serve import create_app, require

    require()
    from proofglass.serve import server as http

    limits = _limits(batch, queue, deadline, max_new_tokens, max_images, max_body)
    if not re.fullmatch(r"[\w.:/-]*", name, re.ASCII):  # it is shown in a line of shell, in one of Python, and in URLs
        raise UsageError(f"--name {name!r}: expected letters, digits and . _ : / -")
    defended, chain = guarded(victim, defense or [], given or [])
    bound = http.listen(host, port)
    with bound:
        local = http.is_loopback(bound)
        token, is_ours = token_of(token_file, local)
        if not no_first_ask:
            note(f"{victim}: asking for one token, which loads the model")
            ask_once(defended)
        names = [host, *(allow_host or [])]
        app = create_app(
            defended,
            token=token,
            name=name or victim,
            limits=limits,
            hosts={"127.0.0.1", "localhost", "::1", *names} if local else None,
            image_hosts=allow_remote_images or [],
            show_margins=show_margins,
            show_reasoning=show_reasoning,
        )
        bound.listen()  # whoever reads the address may call at once
        say(_banner(http.address(bound), name or victim, chain, token if is_ours else ""))
        if not local:
            note("plain HTTP beyond this machine: put TLS in front, or others on the way can read the token")
        _log_to_stderr()
        run(http.server(app, limits), bound)


def guarded(victim: str, defenses: list[str], given: list[str]) -> tuple[Victim, str]:
    """The victim inside its defenses, and the way of an ask in words.

    defenses: lines of a study, the last of them outermost; in one of several, `a + b`, the first is. given: FIELD=VALUE
    of the victim, DEFENSE.FIELD=VALUE of a defense. Raises UsageError.
    """
    from proofglass.studies.located import nearest

    stack = [each for line in reversed(defenses) for each in named("defenses", line, "--defense")]
    names = [each.name for each in stack]
    for each in given:
        owner = each.partition("=")[0].rpartition(".")[0]
        if owner and owner not in names:
            near = nearest(owner, names)
            raise UsageError(
                f"--set {each!r}: no --defense {owner!r} is named; write FIELD=VALUE for the victim.{near}"
            )
    fields = by_member(given, names)
    built: Victim = plug("victims", victim, fields.get("", []))
    for member in reversed(stack):
        built = put_together("defenses", [member], fields)(built)
    return built, " -> ".join([*names, victim])


def ask_once(victim: Victim) -> None:
    """Ask for one token: what is missing shows now, and not at the first caller. Raises UsageError."""
    from proofglass.types import Ask, Chat, Settings

    try:
        (reply,) = victim.reply([Ask(Chat.user("Hello."), Settings(max_new_tokens=1))])
    except (ProofglassError, OSError):
        raise
    except Exception as error:  # a model fails to load in as many ways as there are models
        raise UsageError(f"the model cannot be loaded: {type(error).__name__}: {error}") from error
    if reply.outcome == "error":
        raise UsageError(f"the model did not answer a first ask: {reply.reason} (--no-first-ask starts without)")


def token_of(file: Path | None, is_local: bool) -> tuple[str, bool]:
    """The bearer token, and whether it was made up here. Raises UsageError where one has to be given, or is weak."""
    given, source = os.environ.get("PROOFGLASS_TOKEN", ""), "$PROOFGLASS_TOKEN"
    if file is not None:
        source = str(file)
        try:
            given = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--token-file {file}: cannot be read: {error}") from error
        if file.stat().st_mode & 0o077 and os.name == "posix":
            note(f"{file}: other users of this machine may read the token; chmod 600 {file}")
    elif not given:
        if not is_local:
            raise UsageError(
                "--host: beyond this machine a token of yours is needed: --token-file FILE or $PROOFGLASS_TOKEN"
            )
        return secrets.token_urlsafe(32), True
    if len(given) < _SHORTEST or not given.isascii() or not given.isprintable() or " " in given:
        raise UsageError(
            f"{source}: expected a token of at least {_SHORTEST} ASCII characters without spaces; one is made by "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return given, False


def run(server: uvicorn.Server, bound: socket.socket) -> None:
    """Serve until Ctrl-C; what runs is finished."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more when it has stopped
        server.run(sockets=[bound])
    note("stopped")


def _limits(batch: int, queue: int, deadline: float, new_tokens: int, images: int, body_mib: int) -> Limits:
    body = body_mib * MIB
    try:
        return Limits(
            batch=batch,
            queue=queue,
            deadline_s=deadline,
            new_tokens=new_tokens,
            default_new_tokens=min(_DEFAULT.default_new_tokens, new_tokens),
            images=images,
            body_bytes=body,
            image_bytes=min(_DEFAULT.image_bytes, body),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _banner(url: str, model: str, chain: str, token: str) -> str:
    """What a caller needs to know. token: the one made up at this start, else empty."""
    made = [f"export PROOFGLASS_TOKEN={token}  # made up for this run, shown this once"] if token else []
    return "\n".join(
        [
            f"serving {model} at {url}/v1",
            f"an ask passes {chain}",
            "",
            *made,
            f"curl {url}/v1/chat/completions -H 'Content-Type: application/json' \\",
            '  -H "Authorization: Bearer $PROOFGLASS_TOKEN" \\',
            f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
            "",
            "import os, openai",
            f'client = openai.OpenAI(base_url="{url}/v1", api_key=os.environ["PROOFGLASS_TOKEN"])',
            f'client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])',
            "",
            "Ctrl-C finishes what runs and stops.",
        ]
    )


def _log_to_stderr() -> None:
    """One line per request, and failures; of what is asked and replied nothing."""
    handler = Handler()
    handler.setFormatter(OneLine("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("proofglass.serve")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
