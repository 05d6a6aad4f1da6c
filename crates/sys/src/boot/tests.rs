use super::boot_id;

#[test]
fn the_boot_has_one_name() {
    let id = boot_id().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(id, boot_id().unwrap());
}
