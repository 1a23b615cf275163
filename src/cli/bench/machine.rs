//! What this machine is called. It knows where an operating system says so.

use std::fs::File;
use std::io::Read;

/// The processor's name where Linux gives it, else the architecture's.
pub fn cpu_name() -> String {
    /// The name stands in the first block of a file that grows with the number of cores.
    const FIRST_BYTES: u64 = 8192;
    let mut start = Vec::new();
    let read = File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_BYTES).read_to_end(&mut start));
    let name = read.ok().and_then(|_| model_name(&String::from_utf8_lossy(&start)));
    name.unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// The value of the first line `model name : ...`, in single spaces, without control characters.
fn model_name(cpuinfo: &str) -> Option<String> {
    let (_, name) =
        cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name")?;
    let words: Vec<&str> =
        name.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_where_there_is_one() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 17\nmodel name\t: An  EPYC\t9\x1b4 CPU @ 2 GHz\nmodel name\t: B\n";
        assert_eq!(model_name(cpuinfo).unwrap(), "An EPYC 9 4 CPU @ 2 GHz");
        assert_eq!(model_name("processor\t: 0\nBogoMIPS\t: 50.00\n"), None);
        assert_eq!(model_name("model name\t: \n"), None);
        assert!(!cpu_name().is_empty());
    }
}
