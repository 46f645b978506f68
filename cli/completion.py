"""`headway completion`."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: headway completion bash > ~/.local/share/bash-completion/completions/headway
    """
    make = get_completion_class(shell)
    assert make is not None
    script = make(ctx.find_root().command, {}, "headway", "_HEADWAY_COMPLETE")
    click.echo(script.source())
