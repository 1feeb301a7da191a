//! What an account can see: a refusal must leave it as it was.

use serde_json::Value;

use super::account::Account;
use super::client::Client;

/// What was to be seen, by URL: the account, its orders if they are listed, and further objects.
pub(crate) struct Watch {
    seen: Vec<(String, Value)>,
}

impl Watch {
    /// Looks at an account and these objects of it.
    pub(crate) async fn begin(client: &mut Client, account: &Account, urls: &[&str]) -> Self {
        let mut watched = vec![account.kid.clone()];
        let object = client.read(account, &account.kid).await;
        watched.extend(object["orders"].as_str().map(str::to_owned));
        watched.extend(urls.iter().map(|url| (*url).to_owned()));
        let mut seen = Vec::new();
        for url in watched {
            let object = sorted(client.read(account, &url).await);
            seen.push((url, object));
        }
        Self { seen }
    }

    /// Nothing has changed.
    pub(crate) async fn assert_unchanged(&self, client: &mut Client, account: &Account, what: &str) {
        for (url, before) in &self.seen {
            let now = sorted(client.read(account, url).await);
            assert_eq!(&now, before, "after {what}: {url} has changed");
        }
    }
}

/// The same object with its lists sorted: their order means nothing, and some servers shuffle them.
pub(crate) fn sorted(mut object: Value) -> Value {
    for list in object.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
    }
    object
}
