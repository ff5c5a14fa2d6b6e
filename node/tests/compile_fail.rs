//! A handler that cannot work does not compile, and the compiler's message says what is wrong.

#[test]
fn wrong_handlers_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
