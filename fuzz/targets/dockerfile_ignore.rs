#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lapstrake_fuzz::dockerfile_ignore(data));
