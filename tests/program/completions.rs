//! Completions and the manual page as a shell and a reader of manuals find them.

use std::io::Write;
use std::process::{Command, Stdio};

fn flatnet(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_flatnet")).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a program prints that is given `input`; `None` where there is no such program, which is told.
fn output_of(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: {program} is not here");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{program} complains");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What bash offers after the words, the last of which is being typed.
fn bash_offers(words: &[&str]) -> Option<Vec<String>> {
    let script = flatnet(&["completions", "bash"]);
    let last = words.len() - 1;
    let ask = format!(
        "\nCOMP_WORDS=({}); COMP_CWORD={last}; _flatnet flatnet '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" "),
        words[last],
        words[last - 1]
    );
    let offers = output_of("bash", &["--norc", "--noprofile"], &(script + &ask))?;
    Some(offers.lines().map(str::to_string).collect())
}

#[test]
fn bash_completes_commands_flags_and_values() {
    for (words, expected) in [
        (&["flatnet", "tr"][..], &["train"][..]),
        (&["flatnet", "fe"], &["fetch"]),
        (&["flatnet", "train", "--tensor"], &["--tensorboard"]),
        (&["flatnet", "--tensor"], &["--tensorboard"]),
        (&["flatnet", "train", "--log-format", "j"], &["jsonl"]),
        (&["flatnet", "fetch", "fash"], &["fashion-mnist"]),
        (&["flatnet", "completions", "z"], &["zsh"]),
    ] {
        let Some(offers) = bash_offers(words) else { return };
        assert_eq!(offers, expected, "{words:?}");
    }
}

#[test]
fn every_shell_has_a_script_of_its_own() {
    let scripts = ["bash", "elvish", "fish", "powershell", "zsh"].map(|shell| flatnet(&["completions", shell]));
    for (index, script) in scripts.iter().enumerate() {
        for word in ["evaluate", "fetch", "relu-grad", "tensorboard"] {
            assert!(script.contains(word), "{word} is missing in script {index}");
        }
        assert!(!scripts[..index].contains(script));
    }
    let unknown = Command::new(env!("CARGO_BIN_EXE_flatnet")).args(["completions", "csh"]).output().unwrap();
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!((unknown.status.code(), told.lines().count()), (Some(2), 1), "{told}");
    assert!(told.contains("'csh'") && told.contains("zsh"), "{told}");
}

/// groff and mandoc read the page without a warning, and what they print holds every flag of `--help`.
#[test]
fn formatters_of_manuals_read_the_page() {
    let page = flatnet(&["man"]);
    assert!(page.contains(".TH FLATNET 1"), "{page}");
    for (program, arguments) in [
        ("groff", &["-man", "-Tascii", "-P-cbou", "-ww", "-rLL=78n"][..]),
        ("mandoc", &["-Tascii", "-Wwarning", "-Owidth=78"]),
    ] {
        let Some(text) = output_of(program, arguments, &page) else { continue };
        for command in ["train", "evaluate", "bench", "fetch", "completions", "man"] {
            let help = flatnet(&[command, "--help"]);
            let flags = help.lines().filter_map(|line| line.trim().strip_prefix("--")?.split([' ', '=']).next());
            for flag in flags {
                assert!(text.contains(&format!("--{flag}")), "{program}: --{flag} of {command} is missing in {text}");
            }
        }
        let example = "flatnet evaluate --model runs/1/model.safetensors";
        assert!(text.lines().any(|line| line.trim() == example), "{program}: an example on its line in {text}");
    }
}
