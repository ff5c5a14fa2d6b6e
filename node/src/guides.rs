//! Compiles the examples of the README and of the pages in `docs/`, and runs those that need nothing but this crate.

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[doc = include_str!(concat!("../../", $path))]
            struct $name;
        )*
    };
}

pages! {
    Readme: "README.md",
    FirstServer: "docs/guide/first-server.md",
    Rooms: "docs/guide/rooms.md",
    Acks: "docs/guide/acks.md",
    Auth: "docs/guide/auth.md",
    ClassesAndMiddleware: "docs/guide/classes-and-middleware.md",
    Scaling: "docs/guide/scaling.md",
    EmbeddingInAxum: "docs/guide/embedding-in-axum.md",
    FromPythonSocketIo: "docs/guide/from-python-socketio.md",
    FromSocketIo: "docs/guide/from-socket-io.md",
    ApiPythonSocketIo: "docs/api-python-socketio.md",
    ApiSocketIo: "docs/api-socket-io.md",
    Running: "docs/running.md",
    LimitsPage: "docs/limits.md",
}
