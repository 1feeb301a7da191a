//! What processes of the server have used, from `/proc` (proc(5)).

use std::time::Duration;

use anyhow::Context;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time, its own and the kernel's on its behalf.
    pub(crate) cpu: Duration,
    /// The most memory it ever had, in KiB (`VmHWM`).
    pub(crate) peak_kib: u64,
    /// The memory it has now, in KiB (`VmRSS`).
    pub(crate) resident_kib: u64,
}

impl Usage {
    /// Reads what the process has used.
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        let stat = read(pid, "stat")?;
        let status = read(pid, "status")?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat has no CPU times"))?;
        let memory = |field| kib(&status, field).with_context(|| format!("/proc/{pid}/status has no {field}"));
        Ok(Self {
            cpu: Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100),
            peak_kib: memory("VmHWM")?,
            resident_kib: memory("VmRSS")?,
        })
    }
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("no process {pid} can be read; give the ids of running server processes with --pid"))
}

/// utime + stime. The name in parentheses may itself have blanks and parentheses, so counting begins after the last.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found_behind_a_name_with_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 8 0 777 1000 200";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t    9000 kB\n";
        assert_eq!(kib(status, "VmHWM"), Some(20_480));
        assert_eq!(kib(status, "VmRSS"), Some(9_000));
        assert_eq!(kib(status, "VmSwap"), None);
    }

    #[test]
    fn process_that_does_not_exist_is_named_in_the_error() {
        let error = Usage::read(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }
}
