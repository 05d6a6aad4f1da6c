//! What steps may do only when the user says so: `--allow`.

use super::driver::{Build, Planned};
use super::request::BuildRequest;
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_build::graph::{Graph, Network, Node, Operation, Security};

const NETWORK_HOST: &str = "network.host";
const SECURITY_INSECURE: &str = "security.insecure";

/// What the user allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entitlements {
    network_host: bool,
    security_insecure: bool,
}

impl Entitlements {
    /// Reads `--allow`. Whoever gives every step the host's network allows it, as in docker.
    pub(super) fn of(request: &BuildRequest) -> Result<Self, Error> {
        let mut allowed = Self {
            network_host: request.run.network == "host",
            ..Self::default()
        };
        let words = request.allow.iter().flat_map(|word| word.split(','));
        for word in words {
            match word.trim() {
                NETWORK_HOST => allowed.network_host = true,
                SECURITY_INSECURE => allowed.security_insecure = true,
                other => {
                    let text = format!("unknown entitlement {other:?}");
                    let hint = format!("known are {NETWORK_HOST} and {SECURITY_INSECURE}");
                    return Err(Error::new(ErrorKind::InvalidArgument, text)
                        .with_origin(Origin::Client)
                        .with_hint(hint));
                }
            }
        }
        Ok(allowed)
    }

    /// The first node that wants more, and what.
    fn missing(self, graph: &Graph) -> Option<(&Node, &'static str)> {
        graph.nodes.iter().find_map(|node| {
            let Operation::Run(run) = &node.operation else {
                return None;
            };
            if run.security == Security::Insecure && !self.security_insecure {
                return Some((node, SECURITY_INSECURE));
            }
            let network = run.network == Network::Host && !self.network_host;
            network.then_some((node, NETWORK_HOST))
        })
    }

    /// Refuses a plan with a step that wants more.
    pub(super) fn check(self, build: &Build<'_>, planned: &Planned) -> Result<(), Error> {
        let Some((node, what)) = self.missing(&planned.plan.graph) else {
            return Ok(());
        };
        let spans: Vec<_> = node.step.span.into_iter().collect();
        let text = format!("{what} is not allowed");
        let place = planned.place(build.dialect);
        Err(place
            .error(ErrorKind::Denied, &text, &spans)
            .with_hint(format!("give `--allow {what}` if you trust the Dockerfile")))
    }
}
