use super::Cgroup;
use super::layout::{Hierarchy, Layout, Tree};

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
46 45 0:29 / /elsewhere/sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
";

const OWN: &str = "\
9:name=systemd:/
4:memory:/docker/abc/sub
1:cpu,cpuacct:/work
0::/
";

#[test]
fn hybrid_layout() {
    let layout = Layout::parse(HYBRID, OWN);
    assert_eq!(layout.hierarchy, Hierarchy::Hybrid);
    assert_eq!(
        layout.unified.as_deref(),
        Some("/sys/fs/cgroup/unified".as_ref())
    );
    let own = |controller| layout.v1_of(controller).map(Tree::own_directory);
    assert_eq!(
        own("cpuacct"),
        Some("/sys/fs/cgroup/cpu,cpuacct/work".into())
    );
    assert_eq!(own("memory"), Some("/sys/fs/cgroup/memory/sub".into()));
    assert_eq!(own("pids"), None);
    assert_eq!(layout.v1.len(), 3);
}

#[test]
fn other_layouts() {
    let v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    assert_eq!(
        Layout::parse(v2, "0::/user.slice\n").hierarchy,
        Hierarchy::V2
    );
    assert_eq!(Layout::parse("", "").hierarchy, Hierarchy::None);
}

#[test]
fn a_place_that_was_asked_for_is_taken_in_every_limiting_hierarchy() {
    let root = std::env::temp_dir().join(format!("lap-cgroup-{}", std::process::id()));
    let mounts = "\
1 2 0:3 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
1 2 0:3 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";
    let mut layout = Layout::parse(mounts, "1:cpu,cpuacct:/\n2:cpuset:/\n3:memory:/\n");
    for tree in &mut layout.v1 {
        tree.mount = root.join(&tree.controllers);
    }
    for (is_asked, expected) in [(false, &[][..]), (true, &["memory", "cpu,cpuacct"])] {
        let mut cgroup = Cgroup {
            path: "parent/id".into(),
            ..Cgroup::default()
        };
        cgroup.join_v1(&layout, is_asked).unwrap();
        let expected: Vec<_> = expected
            .iter()
            .map(|name| root.join(name).join("parent/id"))
            .collect();
        assert_eq!(cgroup.v1, expected);
        assert!(expected.iter().all(|path| path.is_dir()));
    }
    std::fs::remove_dir_all(&root).unwrap();
}
