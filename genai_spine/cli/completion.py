"""`genai-spine completion bash | zsh | fish`: scripts that complete commands and options in a shell."""

from typing import Annotated, Literal

import typer
from typer._completion_classes import completion_init

Shell = Literal["bash", "zsh", "fish"]
# Each asks the program itself, by the variable that Typer reads: what it knows is of its own version.
SCRIPTS = {
    "bash": """\
_genai_spine() {
    local IFS=$'\\n'
    COMPREPLY=( $( COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        _GENAI_SPINE_COMPLETE=complete_bash "$1" 2>/dev/null ) )
}

complete -o default -F _genai_spine genai-spine
""",
    "zsh": """\
#compdef genai-spine

_genai_spine() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \\
        _GENAI_SPINE_COMPLETE=complete_zsh genai-spine 2>/dev/null)"
}

if [ "$funcstack[1]" = "_genai_spine" ]; then
    _genai_spine
else
    compdef _genai_spine genai-spine
fi
""",
    "fish": """\
function __genai_spine_complete
    env _GENAI_SPINE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \\
        _TYPER_COMPLETE_ARGS=(commandline -cp | string collect) genai-spine 2>/dev/null
end

complete --command genai-spine --no-files --arguments "(__genai_spine_complete get-args)" \\
    --condition "__genai_spine_complete is-args"
""",
}


def prepare() -> None:
    """Let Typer answer a shell; by itself it does so only where it installs its own scripts."""
    completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="Where it shall be read.")]) -> None:
    """Print the completion script of a shell.

    bash: eval "$(genai-spine completion bash)" in ~/.bashrc.
    zsh: genai-spine completion zsh > "${fpath[1]}/_genai-spine".
    fish: genai-spine completion fish > ~/.config/fish/completions/genai-spine.fish.
    """
    typer.echo(SCRIPTS[shell], nl=False)
