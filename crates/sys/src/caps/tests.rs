use super::{CapSet, SYS_ADMIN};

#[test]
fn names_in_any_spelling() {
    for name in ["CAP_SYS_ADMIN", "sys_admin", "Cap_Sys_Admin"] {
        assert_eq!(CapSet::parse(name), Some(SYS_ADMIN), "{name}");
    }
    assert_eq!(CapSet::parse("all"), Some(CapSet::ALL));
    assert_eq!(CapSet::parse("CAP_NOPE"), None);
    assert_eq!(CapSet::parse(""), None);
}

#[test]
fn sets() {
    let admin_and_chown = SYS_ADMIN.union(CapSet::from_bits(1));
    let names: Vec<_> = admin_and_chown.names().collect();
    assert_eq!(names, ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    assert!(admin_and_chown.contains(SYS_ADMIN));
    assert!(!SYS_ADMIN.contains(admin_and_chown));
    assert!(
        admin_and_chown
            .difference(SYS_ADMIN)
            .difference(CapSet::from_bits(1))
            .is_empty()
    );
    assert_eq!(CapSet::ALL.names().count(), 41);
}
