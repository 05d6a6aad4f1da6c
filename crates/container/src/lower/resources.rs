//! Limits and devices. A group of limits is set only where one is asked for: it costs a control group.

use crate::error::{Error, Result};
use crate::host_config::HostConfig;
use crate::record::Record;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDevice, LinuxMemory, LinuxPids, LinuxResources, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType, Spec,
};
use std::path::{Path, PathBuf};

/// Docker's least memory limit.
const LEAST_MEMORY: i64 = 6 << 20;
const CPU_PERIOD_MICROSECONDS: i64 = 100_000;
/// One processor in the unit of `NanoCpus`, and docker's least share of one.
const NANO_CPUS: i64 = 1_000_000_000;
const LEAST_NANO_CPUS: i64 = 10_000_000;

pub(super) fn check(host: &HostConfig) -> Result<()> {
    if host.memory != 0 && host.memory < LEAST_MEMORY {
        return Err(Error::Invalid(
            "Minimum memory limit allowed is 6MB".to_owned(),
        ));
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return Err(Error::Invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage".to_owned(),
        ));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = i64::try_from(processors).map_or(i64::MAX, |count| count.saturating_mul(NANO_CPUS));
    if host.nano_cpus != 0 && !(LEAST_NANO_CPUS..=most).contains(&host.nano_cpus) {
        return Err(Error::Invalid(format!(
            "Range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        )));
    }
    limits(host).map(drop)
}

pub(super) fn apply(spec: &mut Spec, record: &Record, devices: &[LinuxDevice]) -> Result<()> {
    let host = &record.host_config;
    let rlimits = limits(host)?;
    if let Some(process) = spec.process_mut()
        && !rlimits.is_empty()
    {
        process.set_rlimits(Some(rlimits));
    }
    let Some(linux) = spec.linux_mut() else {
        return Ok(());
    };
    let mut resources = linux
        .resources()
        .clone()
        .unwrap_or_else(LinuxResources::default);
    if let Some(memory) = memory(host) {
        resources.set_memory(Some(memory));
    }
    if let Some(cpu) = cpu(host) {
        resources.set_cpu(Some(cpu));
    }
    if let Some(limit) = host.pids_limit.filter(|limit| *limit > 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if host.blkio_weight > 0 {
        let mut block_io = LinuxBlockIo::default();
        block_io.set_weight(Some(host.blkio_weight));
        resources.set_block_io(Some(block_io));
    }
    linux.set_resources(Some(resources));
    if !devices.is_empty() {
        let mut all = linux.devices().clone().unwrap_or_default();
        all.extend(devices.iter().cloned());
        linux.set_devices(Some(all));
    }
    if let Some(path) = cgroups_path(record) {
        linux.set_cgroups_path(Some(path));
    }
    Ok(())
}

/// The container's own group below the parent that the request names: what is in it is killed with the
/// container.
pub(crate) fn cgroups_path(record: &Record) -> Option<PathBuf> {
    let parent = Path::new(&record.host_config.cgroup_parent);
    (!parent.as_os_str().is_empty()).then(|| parent.join(record.id.as_str()))
}

fn memory(host: &HostConfig) -> Option<LinuxMemory> {
    let asked = host.memory != 0 || host.memory_reservation != 0;
    if !asked {
        return None;
    }
    let given = |value: i64| (value != 0).then_some(value);
    let mut memory = LinuxMemory::default();
    // Docker lets a container swap as much as it may have memory unless told otherwise.
    let swap = if host.memory_swap == 0 {
        host.memory.saturating_mul(2)
    } else {
        host.memory_swap
    };
    memory
        .set_limit(given(host.memory))
        .set_swap(given(if host.memory == 0 { 0 } else { swap }))
        .set_reservation(given(host.memory_reservation))
        .set_swappiness(
            host.memory_swappiness
                .and_then(|value| u64::try_from(value).ok()),
        )
        .set_disable_oom_killer(host.oom_kill_disable);
    Some(memory)
}

fn cpu(host: &HostConfig) -> Option<LinuxCpu> {
    let (mut period, mut quota) = (host.cpu_period, host.cpu_quota);
    if host.nano_cpus > 0 {
        period = CPU_PERIOD_MICROSECONDS;
        quota = host.nano_cpus.saturating_mul(CPU_PERIOD_MICROSECONDS) / 1_000_000_000;
    }
    let asked = period > 0
        || quota > 0
        || host.cpu_shares > 0
        || !host.cpuset_cpus.is_empty()
        || !host.cpuset_mems.is_empty();
    if !asked {
        return None;
    }
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    let mut cpu = LinuxCpu::default();
    cpu.set_period(positive(period))
        .set_quota((quota > 0).then_some(quota))
        .set_shares(positive(host.cpu_shares))
        .set_cpus(text(&host.cpuset_cpus))
        .set_mems(text(&host.cpuset_mems));
    Some(cpu)
}

fn limits(host: &HostConfig) -> Result<Vec<PosixRlimit>> {
    let mut limits = Vec::new();
    for ulimit in host.ulimits.iter().flatten() {
        let name = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
        let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(name))
            .map_err(|_unknown| Error::Invalid(format!("invalid ulimit type: {}", ulimit.name)))?;
        // A negative limit is no limit: the kernel's highest number.
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let limit = PosixRlimitBuilder::default()
            .typ(kind)
            .soft(unsigned(ulimit.soft))
            .hard(unsigned(ulimit.hard))
            .build()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        limits.push(limit);
    }
    Ok(limits)
}
