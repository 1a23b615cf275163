//! `flatnet completions`: a script for a shell, made from the definition of the flags. It knows no shell.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use flatnet::Result;

use super::{Arguments, print};

pub const EXAMPLES: &str = "\
Examples:
  flatnet completions bash > ~/.local/share/bash-completion/completions/flatnet
  flatnet completions zsh > ~/.zfunc/_flatnet         with ~/.zfunc in $fpath
  flatnet completions fish > ~/.config/fish/completions/flatnet.fish

For this shell only: source <(flatnet completions bash)";

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Which shell: bash, elvish, fish, powershell, zsh
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    pub shell: Shell,
}

pub fn run(arguments: &CompletionsArguments) -> Result<()> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut Arguments::command(), "flatnet", &mut script);
    print(&String::from_utf8_lossy(&script))
}
