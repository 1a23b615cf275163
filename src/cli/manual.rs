//! `flatnet man`: one manual page over all commands, made from the definition of the flags. It knows no pager.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use flatnet::{Error, Result};

use super::{Arguments, print};

pub const EXAMPLES: &str = "\
Examples:
  flatnet man | man -l -                  read it
  flatnet man > ~/.local/share/man/man1/flatnet.1     keep it for `man flatnet`";

pub fn run() -> Result<()> {
    let page = page().map_err(|source| Error::Io { path: "manual page".into(), action: "write", source })?;
    print(&page)
}

fn page() -> io::Result<String> {
    // clap's own `help` command has no page.
    let mut flatnet = Arguments::command().disable_help_subcommand(true);
    flatnet.build();
    let mut page = Vec::new();
    let man = Man::new(flatnet.clone()).title("FLATNET").manual("User Commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    section(&mut page, "SYNOPSIS", "flatnet [train] [OPTIONS]\nflatnet COMMAND [OPTIONS]")?;
    man.render_description_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    for command in flatnet.get_subcommands() {
        write_command(&mut page, command)?;
    }
    examples(&mut page, &flatnet)?;
    // Every part repeats how apostrophes are written; once is enough.
    let text = String::from_utf8_lossy(&page);
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if !(line.starts_with(".ie ") || line.starts_with(".el ")) || !lines.contains(&line) {
            lines.push(line);
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// A command as a section of its own, whose parts are subsections.
fn write_command(page: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::default();
    roff.control("SH", [name.as_str()]).text([roman(about)]);
    roff.to_writer(page)?;
    let man = Man::new(command.clone());
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    examples(&mut parts, command)?;
    let parts = String::from_utf8_lossy(&parts);
    page.write_all(parts.replace("\n.SH ", "\n.SS ").as_bytes())
}

/// What stands below the options in `--help`, line by line as it is.
fn examples(page: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    match command.get_after_help() {
        Some(text) => section(page, "EXAMPLES", text.to_string().trim_start_matches("Examples:\n")),
        None => Ok(()),
    }
}

fn section(page: &mut Vec<u8>, name: &str, lines: &str) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [name]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []).to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_command_and_every_flag() {
        let page = page().unwrap();
        let flatnet = Arguments::command();
        assert!(flatnet.get_subcommands().count() >= 6);
        for command in flatnet.get_subcommands() {
            let heading = format!(".SH \"FLATNET {}\"\n", command.get_name().to_uppercase());
            assert_eq!(page.matches(&heading).count(), 1, "{heading}");
            let section = page.split(&heading).nth(1).unwrap().split("\n.SH ").next().unwrap();
            assert!(section.contains("\n.SS EXAMPLES\n.nf\n"), "{section}");
            for argument in command.get_arguments() {
                let told = match argument.get_long() {
                    Some(long) => format!("\\-\\-{}\\fR", long.replace('-', "\\-")),
                    None => argument.get_value_names().unwrap()[0].to_string(),
                };
                // Once in the synopsis and once in the options.
                assert!(section.matches(&told).count() >= 2, "{told} is missing in {section}");
            }
        }
        assert_eq!(page.matches(".ie ").count(), 1, "{page}");
    }
}
