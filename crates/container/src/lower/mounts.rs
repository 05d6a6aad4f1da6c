//! What is mounted: the default mounts, the generated files, binds, volumes, temporary file systems.

use crate::files;
use crate::host_config::{DEFAULT_SHM_SIZE, HostConfig};
use crate::record::{Mount as Planned, Record};
use oci_spec::runtime::{Mount, Spec};
use std::path::{Path, PathBuf};

const SHM: &str = "/dev/shm";

pub(super) fn apply(spec: &mut Spec, record: &Record, home: &Path) {
    let host = &record.host_config;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    shm(&mut mounts, host);
    let mut own: Vec<Mount> = Vec::new();
    for (destination, source) in files::paths(home) {
        if !record
            .mounts
            .iter()
            .any(|mount| mount.destination == destination)
        {
            own.push(bind(destination, source, !host.readonly_rootfs, "rprivate"));
        }
    }
    for (destination, options) in &host.tmpfs {
        own.push(tmpfs(destination, options));
    }
    for request in &host.mounts {
        let memory = request.tmpfs();
        own.extend(memory.map(|options| tmpfs(&request.destination(), &options)));
    }
    own.extend(record.mounts.iter().map(planned));
    // A mount point must not be covered by a later mount on a folder above it.
    own.sort_by_key(|mount| mount.destination().components().count());
    let covered = |mount: &Mount| {
        own.iter()
            .any(|other| other.destination() == mount.destination())
    };
    mounts.retain(|mount| !covered(mount));
    mounts.extend(own);
    let shared = record
        .mounts
        .iter()
        .any(|mount| mount.propagation.ends_with("shared"));
    let slave = record
        .mounts
        .iter()
        .any(|mount| mount.propagation.ends_with("slave"));
    if let Some(linux) = spec.linux_mut() {
        if shared {
            linux.set_rootfs_propagation(Some("shared".to_owned()));
        } else if slave {
            linux.set_rootfs_propagation(Some("slave".to_owned()));
        }
    }
    spec.set_mounts(Some(mounts));
}

fn shm(mounts: &mut Vec<Mount>, host: &HostConfig) {
    if host.ipc_mode == "none" {
        mounts.retain(|mount| mount.destination() != Path::new(SHM));
        return;
    }
    if host.ipc_mode == "host" {
        mounts.retain(|mount| mount.destination() != Path::new(SHM));
        mounts.push(bind(SHM, PathBuf::from(SHM), true, "rprivate"));
        return;
    }
    let size = if host.shm_size > 0 {
        host.shm_size
    } else {
        DEFAULT_SHM_SIZE
    };
    for mount in mounts
        .iter_mut()
        .filter(|mount| mount.destination() == Path::new(SHM))
    {
        let mut options = mount.options().clone().unwrap_or_default();
        options.retain(|option| !option.starts_with("size="));
        options.push(format!("size={size}"));
        mount.set_options(Some(options));
    }
}

fn planned(mount: &Planned) -> Mount {
    let propagation = if mount.propagation.is_empty() {
        "rprivate"
    } else {
        mount.propagation.as_str()
    };
    bind(
        &mount.destination,
        PathBuf::from(&mount.source),
        mount.read_write,
        propagation,
    )
}

fn bind(destination: &str, source: PathBuf, read_write: bool, propagation: &str) -> Mount {
    let options = ["rbind", propagation, if read_write { "rw" } else { "ro" }];
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(source))
        .set_options(Some(options.map(str::to_owned).to_vec()));
    mount
}

fn tmpfs(destination: &str, options: &str) -> Mount {
    let mut all: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let opposite = match option {
            "exec" | "suid" | "dev" => format!("no{option}"),
            _ => String::new(),
        };
        all.retain(|have| *have != opposite && have != option);
        all.push(option.to_owned());
    }
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some("tmpfs".to_owned()))
        .set_source(Some(PathBuf::from("tmpfs")))
        .set_options(Some(all));
    mount
}
