//! What the figures were taken on. Ratios are what counts; this is what a reader needs to judge them.

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    /// Processes that wanted a core in the minute before: above zero, something else was running.
    load: f64,
}

impl Machine {
    pub(super) fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            memory_gib: memory_gib(&read("/proc/meminfo")).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load(&read("/proc/loadavg")).unwrap_or_default(),
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { processor, cores, memory_gib, kernel, load } = self;
        format!("machine: {processor}, {cores} cores, {memory_gib:.1} GiB, Linux {kernel}; load before the start {load}\n")
    }

    /// Whether others wanted the processor, too.
    pub(super) fn was_busy(&self) -> bool {
        self.load > 0.5
    }
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn memory_gib(meminfo: &str) -> Option<f64> {
    let kib: f64 = value(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_as_the_kernel_writes_them() {
        assert_eq!(value("processor\t: 0\nmodel name\t: Some: Thing\n", "model name"), Some("Some: Thing"));
        assert_eq!(memory_gib("MemTotal:       16777216 kB\nMemFree: 1 kB\n"), Some(16.0));
        assert_eq!(load("0.42 1.00 2.00 1/100 4242\n"), Some(0.42));
        assert_eq!(memory_gib("MemTotal: much\n"), None);
    }
}
