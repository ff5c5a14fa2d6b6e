#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_proto_fuzz::bodies::proxy::header(data));
