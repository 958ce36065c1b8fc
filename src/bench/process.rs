//! What this process has used so far, as the kernel counts it (proc(5)).

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux shows processor time to user space in ticks of a hundredth of a second
/// (`USER_HZ`), whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of all threads, those that have ended included. `root` is `/`. None
/// where there is no such file.
pub(super) fn cpu_time(root: &Path) -> Option<Duration> {
    ticks(&fs::read_to_string(root.join("proc/self/stat")).ok()?).map(|ticks| TICK * ticks)
}

/// User and system ticks: fields 14 and 15 of `/proc/self/stat`. The second is the
/// program's name in brackets, which may hold anything, brackets and spaces included.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    times.next()?.ok()?.checked_add(times.next()?.ok()?)
}

/// The most bytes that were ever resident.
pub(super) fn peak_memory(root: &Path) -> Option<u64> {
    peak(&fs::read_to_string(root.join("proc/self/status")).ok()?)
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_hides_no_field() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 345 67 20 0 4 0 99";
        assert_eq!(ticks(stat), Some(412));
        assert_eq!(ticks("12 (a) S 1 2"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(peak("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    5120 kB\n"), Some(5 << 20));
        assert_eq!(peak("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_memory() {
        assert!(peak_memory(Path::new("/")).unwrap() > 100_000);
        assert!(cpu_time(Path::new("/")).is_some());
    }
}
