//! Where CRLs and issuers' certificates are published, as it is written and as it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// The variables of the environment that count: those that other programs know, and none that could change where
/// something is published.
pub const S3_VARIABLES: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Where CRLs and issuers' certificates are brought to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Publish {
    /// A folder.
    pub folder: Option<PathBuf>,
    /// S3-compatible storage.
    pub s3: Option<S3>,
}

/// S3-compatible storage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3 {
    /// The bucket, which has to be there.
    pub bucket: String,
    /// The server; none: Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// What stands before the paths of URLs, without a slash at either end.
    #[serde(default)]
    pub prefix: String,
    /// Whether the bucket stands in the host's name and not in the path.
    #[serde(default)]
    pub virtual_hosted: bool,
    /// A file with a key; none: the environment's.
    pub credentials: Option<PathBuf>,
    /// A file with the certificates that the server's TLS is trusted by; none: the system's.
    pub tls_roots: Option<PathBuf>,
}

/// Where CRLs and issuers' certificates are brought to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishSettings {
    /// A folder.
    pub folder: Option<PathBuf>,
    /// S3-compatible storage.
    pub s3: Option<S3Settings>,
}

/// S3-compatible storage to publish to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// The server; none: Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// What stands before the paths of URLs: nothing, or without a slash at either end.
    pub prefix: String,
    /// Whether the bucket stands in the host's name and not in the path.
    pub virtual_hosted: bool,
    /// What requests are signed with.
    pub credentials: S3Credentials,
    /// What the server's TLS is trusted by; none: the system's.
    pub tls_roots: Option<PathBuf>,
}

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Credentials {
    /// A file in the form of `~/.aws/credentials`; its profile `default` counts. It is read for each request, so that a
    /// key can be replaced at any time.
    File(PathBuf),
    /// A key, a role or the address of a service that gives keys; if nothing is there, the machine's own role.
    Environment(S3Variables),
}

/// Of [`S3_VARIABLES`], those that are set. Their values are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Variables(pub BTreeMap<String, String>);

impl S3Variables {
    /// That of this name, if it is set to anything.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for S3Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

pub(super) fn read(file: &Publish, variables: &S3Variables) -> Result<PublishSettings, ConfigError> {
    let s3 = file.s3.as_ref().map(|s3| s3_settings(s3, variables)).transpose()?;
    Ok(PublishSettings { folder: file.folder.clone(), s3 })
}

fn s3_settings(s3: &S3, variables: &S3Variables) -> Result<S3Settings, ConfigError> {
    let wrong = |key: &str, fault: String| ConfigError::new(format!("crl.publish.s3.{key}"), fault);
    if !is_plain(&s3.bucket) {
        return Err(wrong("bucket", format!("{:?} is no bucket's name", s3.bucket)));
    }
    let prefix = s3.prefix.trim_matches('/');
    if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
        let fault =
            format!("{:?} can't be used; expected names of letters, digits and -_, with slashes between", s3.prefix);
        return Err(wrong("prefix", fault));
    }
    let endpoint = s3.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    if endpoint.as_ref().is_some_and(|endpoint| !is_endpoint(endpoint)) {
        // It may hold a password, and is not shown.
        return Err(wrong("endpoint", "can't be used; expected https://HOST or https://HOST:PORT".to_owned()));
    }
    let region = s3.region.as_deref().or_else(|| variables.value("AWS_REGION"));
    let region = region.or_else(|| variables.value("AWS_DEFAULT_REGION"));
    let credentials = s3.credentials.clone().map(S3Credentials::File);
    Ok(S3Settings {
        bucket: s3.bucket.clone(),
        endpoint,
        region: region.unwrap_or("us-east-1").to_owned(),
        prefix: prefix.to_owned(),
        virtual_hosted: s3.virtual_hosted,
        credentials: credentials.unwrap_or_else(|| S3Credentials::Environment(variables.clone())),
        tls_roots: s3.tls_roots.clone(),
    })
}

/// It stands in paths and in signatures as it is (RFC 3986 §2.3).
fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet));
    plain && !name.is_empty() && !name.starts_with('.')
}

fn is_endpoint(endpoint: &str) -> bool {
    url::Url::parse(endpoint).is_ok_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        bare && url.fragment().is_none() && url.has_host() && matches!(url.scheme(), "http" | "https")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choices, Config, parse};

    fn settings(text: &str, variables: &[(&str, &str)]) -> Result<S3Settings, ConfigError> {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let choices = Choices { s3_variables: S3Variables(owned), ..Choices::default() };
        let file = parse(&format!("[crl.publish.s3]\n{text}"), "cairn.toml")?;
        Config::new("data".into(), &file, &choices).map(|config| config.publish.s3.expect("there is storage"))
    }

    const KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "hidden")];

    #[test]
    fn wrong_storage_is_named_with_its_key() {
        for (text, variables, said) in [
            ("bucket = \"a/b\"", &KEY[..], "crl.publish.s3.bucket"),
            ("bucket = \"a\"\nprefix = \"a//b\"", &KEY, "crl.publish.s3.prefix"),
            ("bucket = \"a\"\nprefix = \"../b\"", &KEY, "crl.publish.s3.prefix"),
            ("bucket = \"a\"\nendpoint = \"s3.example\"", &KEY, "crl.publish.s3.endpoint"),
            ("bucket = \"a\"\nendpoint = \"https://me:secret@s3.example\"", &KEY, "crl.publish.s3.endpoint"),
            ("region = \"a\"", &KEY, "bucket"),
        ] {
            let error = settings(text, variables).expect_err(text).to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn keys_come_from_the_environment_or_a_file_and_are_never_shown() {
        let shown = |text: &str| format!("{:?}", settings(text, &KEY).expect("it can be used"));
        let text = shown("bucket = \"a\"\nprefix = \"/pki/\"");
        assert!(
            text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hidden") && text.contains("\"pki\""),
            "{text}"
        );
        let text = shown("bucket = \"a\"\nendpoint = \"http://127.0.0.1:1/\"\ncredentials = \"/etc/key\"");
        assert!(
            text.contains("/etc/key") && !text.contains("AWS") && text.contains("\"http://127.0.0.1:1\""),
            "{text}"
        );
    }
}
