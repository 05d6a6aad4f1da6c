//! One module per operation.

mod commit;
mod containers;
mod create;
mod history;
mod images;
mod import;
mod inspect;
mod inspect_container;
mod login;
mod pull;
mod push;
mod rmi;
mod system;
mod tag;

pub use commit::{CommitRequest, commit};
pub use containers::{
    ContainerRow, ListContainers, container_rows, kill, logs, pause, prepare, remove, start,
    start_prepared, stop, unpause, wait,
};
pub use create::{CreateRequest, Created, PullPolicy, create, fetch_image, local_image};
pub use history::{HistoryRow, history};
pub use images::{Filters, ImageSummary, ListImages, images};
pub use import::{ImportRequest, ImportSource, import};
pub use inspect::{InspectedImage, inspect_image};
pub use inspect_container::{InspectedContainer, inspect_container};
pub use login::{LoginRequest, LoginResult, login, logout};
pub use pull::{PullRequest, Pulled, pull};
pub use push::{PushRequest, push};
pub use rmi::{Removed, RmiRequest, rmi};
pub use system::{
    CheckRequest, DiskUsage, Info, UsageRow, VersionInfo, check, disk_usage, info, reap, version,
};
pub use tag::tag;
