//! Capabilities, system call filter, masked paths, new privileges.

use crate::error::{Error, Result};
use crate::host_config::HostConfig;
use lapstrake_runtime::caps::CapSet;
use lapstrake_runtime::defaults;
use lapstrake_runtime::seccomp::Profile;
use oci_spec::runtime::Spec;

/// What `--security-opt` asks for.
#[derive(Debug, Default)]
struct Options<'a> {
    no_new_privileges: bool,
    seccomp: Option<&'a str>,
    all_paths: bool,
}

pub(super) fn apply(spec: &mut Spec, host: &HostConfig) -> Result<()> {
    let options = parse(host)?;
    if options.no_new_privileges
        && let Some(process) = spec.process_mut()
    {
        process.set_no_new_privileges(Some(true));
    }
    if host.privileged {
        return Ok(());
    }
    let capabilities = capabilities(host)?;
    defaults::set_capabilities(spec, capabilities);
    let seccomp = match options.seccomp {
        Some("unconfined") => None,
        Some(profile) => Some(parse_profile(profile)?.resolve(capabilities)),
        None => Some(defaults::seccomp_for(capabilities)),
    };
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(seccomp);
        if options.all_paths {
            linux.set_masked_paths(None).set_readonly_paths(None);
        }
    }
    Ok(())
}

pub(super) fn check(host: &HostConfig) -> Result<()> {
    capabilities(host)?;
    match parse(host)?.seccomp {
        None | Some("unconfined") => Ok(()),
        Some(profile) => parse_profile(profile).map(drop),
    }
}

fn parse_profile(json: &str) -> Result<Profile> {
    Profile::parse(json.as_bytes())
        .map_err(|error| Error::Invalid(format!("Decoding seccomp profile failed: {error}")))
}

/// Docker's rules: `ALL` dropped leaves what is added; `ALL` added leaves what is not dropped; else the
/// default ones, less the dropped, with the added.
fn capabilities(host: &HostConfig) -> Result<CapSet> {
    let add = set("CapAdd", host.cap_add.as_deref().unwrap_or_default())?;
    let drop = set("CapDrop", host.cap_drop.as_deref().unwrap_or_default())?;
    if host.privileged {
        return Ok(defaults::all_capabilities());
    }
    if drop == CapSet::ALL {
        return Ok(if add == CapSet::ALL {
            CapSet::EMPTY
        } else {
            add
        });
    }
    if add == CapSet::ALL {
        return Ok(defaults::all_capabilities().difference(drop));
    }
    Ok(defaults::DEFAULT_CAPABILITIES.difference(drop).union(add))
}

fn set(list: &str, names: &[String]) -> Result<CapSet> {
    names.iter().try_fold(CapSet::EMPTY, |set, name| {
        let one = CapSet::parse(name).ok_or_else(|| {
            let name = name.to_ascii_uppercase();
            let name = if name.starts_with("CAP_") {
                name
            } else {
                format!("CAP_{name}")
            };
            Error::Invalid(format!("invalid {list}: unknown capability: {name:?}"))
        })?;
        Ok(set.union(one))
    })
}

fn parse(host: &HostConfig) -> Result<Options<'_>> {
    let mut options = Options::default();
    for text in host.security_opt.iter().flatten() {
        let (key, value) = text
            .split_once('=')
            .or_else(|| text.split_once(':'))
            .unwrap_or((text, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true" | "1") => options.no_new_privileges = true,
            ("no-new-privileges", "false" | "0") => options.no_new_privileges = false,
            ("seccomp", profile) if !profile.is_empty() => options.seccomp = Some(profile),
            ("systempaths", "unconfined") => options.all_paths = true,
            // Neither is enforced by this engine: nothing is confined by them to begin with.
            ("apparmor" | "label", _) => {}
            _ => {
                return Err(Error::Invalid(format!(
                    "invalid --security-opt 2: {text:?}"
                )));
            }
        }
    }
    Ok(options)
}
