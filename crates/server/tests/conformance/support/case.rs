//! Cases: one rule each, with how much the document asks for it.

use futures_util::future::BoxFuture;

use super::client::Client;

/// How a document asks for something (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// MUST, MUST NOT, or what follows from one.
    Must,
    /// SHOULD, SHOULD NOT, or a policy that careful servers have.
    Should,
}

/// The server has not got what the case is about: the name of it.
#[derive(Debug)]
pub(crate) struct NotApplicable(pub(crate) &'static str);

/// What a case comes to if it does not panic.
pub(crate) type Verdict = Result<(), NotApplicable>;

/// A case.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The rule, as a sentence.
    pub(crate) name: &'static str,
    /// The path of the module, which is named by the section.
    pub(crate) module: &'static str,
    pub(crate) level: Level,
    pub(crate) run: fn(Client) -> BoxFuture<'static, Verdict>,
}

impl Case {
    /// The section, as its module names it.
    pub(crate) fn section(&self) -> &'static str {
        self.module.rsplit("::").next().unwrap_or(self.module)
    }
}

/// The cases of a module, each with its level.
macro_rules! cases {
    ($($level:ident $name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::support::case::Case] = &[$($crate::support::case::Case {
            name: stringify!($name),
            module: module_path!(),
            level: $crate::support::case::Level::$level,
            run: |client| Box::pin($name(client)),
        }),*];
    };
}
pub(crate) use cases;
