//! One module per operation.

mod build;
mod build_cache;
mod commit;
mod config_check;
mod container_filter;
mod containers;
mod copy;
mod create;
mod disk_usage;
mod export;
mod export_container;
mod filter;
mod history;
mod image_tree;
mod images;
mod import;
mod info;
mod inspect;
mod inspect_container;
mod inspect_volume;
mod load;
mod login;
mod moment;
mod prune;
mod pull;
mod push;
mod rmi;
mod runtime;
mod save;
mod search;
mod system;
mod tag;
mod target;
mod trust;
mod trust_key;

pub use build::{
    Answer, BuildRequest, BuildResult, BuiltImage, CacheLocation, CacheOptions, Call, Dialect,
    FailedBuild, OnFail, RunOptions, SecretSource, SshSource, Stdin, Stdout, Warning, build,
};
pub use build_cache::{CacheRecord, PruneCacheRequest, build_cache, prune_build_cache};
pub use commit::{CommitRequest, commit};
pub use config_check::{CheckedFile, Remark, check_configuration};
pub use containers::{
    ContainerList, ContainerRow, ListContainers, container_rows, kill, list_containers, logs,
    pause, prepare, remove, start, start_prepared, stop, unpause, wait,
};
pub use copy::{Copied, CopyRequest, Place, copy};
pub use create::{
    CreateRequest, Created, PullPolicy, check_image, create, fetch_image, local_image,
};
pub use disk_usage::{DetailedUsage, ImageUsage, VolumeUsage, detailed_disk_usage};
pub use export::{
    Annotation, AnnotationPlace, ArchiveInput, CacheMode, CacheSource, CacheTarget, Destination,
    ExportRequest, Exported, ImageForm, ImportedCache, LayerCompression, Output, Product,
    build_metadata, csv_fields, export, export_cache, import_cache, inline_cache, known_records,
    open_archive, parse_annotation, parse_cache_from, parse_cache_to, parse_output, parse_outputs,
    write_iidfile, write_metadata,
};
pub use export_container::export_container;
pub use filter::Filters;
pub use history::{HistoryRow, history};
pub use image_tree::{SharedSizes, TreeItem, TreeRow, image_tree};
pub use images::{ImageSummary, ListImages, images};
pub use import::{ImportRequest, ImportSource, import, import_url};
pub use info::{Info, Setting, info};
pub use inspect::{InspectedImage, inspect_image, require_platform};
pub use inspect_container::{InspectedContainer, inspect_container};
pub use inspect_volume::{InspectedVolume, inspect_volume};
pub use load::{LoadRequest, load};
pub use login::{LoginRequest, LoginResult, login, logout};
pub use moment::moment;
pub use prune::{
    PruneImagesRequest, PruneRequest, PruneSystemRequest, Pruned, PrunedSystem, prune_containers,
    prune_images, prune_system, prune_volumes,
};
pub use pull::{PullRequest, Pulled, pull};
pub use push::{PushRequest, push};
pub use rmi::{Removed, RmiRequest, rmi};
pub use save::{SaveRequest, save};
pub use search::{SearchRequest, remote_tags, search};
pub use system::{
    CheckRequest, DiskUsage, UsageRow, VersionInfo, check, disk_usage, reap, version,
};
pub use tag::tag;
pub use target::ArchiveTarget;
pub use trust::{InspectedTrust, SignedTag, TrustedSigner, inspect_trust};
pub use trust_key::{GenerateKey, generate_key, sign_image};
