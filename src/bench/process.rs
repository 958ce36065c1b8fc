//! What this process has used so far, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads, those that have ended included (clock_gettime(2);
/// `/proc/self/stat` counts in hundredths of a second, and qemu-user leaves it empty).
pub(super) fn cpu_time() -> Duration {
    // It counts up from zero.
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// The most bytes that were ever resident (proc(5)). `root` is `/`. None where there is no
/// such file.
pub(super) fn peak_memory(root: &Path) -> Option<u64> {
    peak(&fs::read_to_string(root.join("proc/self/status")).ok()?)
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_peak_is_in_bytes() {
        assert_eq!(peak("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    5120 kB\n"), Some(5 << 20));
        assert_eq!(peak("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_memory() {
        assert!(peak_memory(Path::new("/")).unwrap() > 100_000);
    }

    #[test]
    fn computing_takes_processor_time() {
        let deadline = Instant::now() + Duration::from_secs(30);
        let before = cpu_time();
        while cpu_time() < before + Duration::from_millis(20) {
            assert!(Instant::now() < deadline, "{:?} of {before:?}", cpu_time());
        }
    }
}
