//! S3-compatible storage.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ca::ports::Clock;
use ct::TlsTrust;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, BackoffConfig, GetOptions, GetRange, MultipartUpload, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, RetryConfig,
};

use super::destination::{Destination, Pieces, PublicationError, PublishedFile, START_OCTETS};
use super::http::Connector;
use crate::config::{S3Credentials, S3Settings, S3Variables};

/// Amazon takes parts of 5 MiB and more, and 10,000 of them: 78 GiB.
const PART_OCTETS: usize = 8 << 20;
/// For what is asked of S3 once: a request is repeated within it, a part of a CRL has to be there by then.
const REQUEST: Duration = Duration::from_secs(120);
/// What fails is tried again by those who publish, with a longer pause.
const RETRIES: usize = 2;
/// Of what S3 said, so much is shown.
const SAID_CHARACTERS_MAX: usize = 300;

/// A bucket.
pub struct Bucket {
    signed: Signed,
    clock: Arc<dyn Clock>,
    prefix: String,
    name: String,
}

impl Bucket {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// There is nothing to sign requests with, or nothing that the server's TLS could be trusted by.
    pub fn open(settings: &S3Settings, clock: Arc<dyn Clock>) -> Result<Self, PublicationError> {
        let S3Settings { bucket, endpoint, region, .. } = settings;
        let wrong = PublicationError::Configuration;
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let trust = if plain {
            None
        } else {
            let roots = settings.tls_roots.as_deref().unwrap_or_else(|| Path::new(TlsTrust::SYSTEM_ROOTS));
            Some(TlsTrust::from_pem_file(roots, Arc::clone(&clock)).map_err(|error| wrong(error.to_string()))?)
        };
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Connector::new(trust.as_ref(), Arc::clone(&clock)))
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: REQUEST })
            .with_bucket_name(bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(settings.virtual_hosted);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let signed = match &settings.credentials {
            S3Credentials::File(path) => {
                Signed::ByFile { path: path.clone(), builder: Box::new(builder), last: Mutex::default() }
            }
            S3Credentials::Environment(variables) => {
                let builder = of_environment(builder, variables, endpoint.is_some())?;
                Signed::ByEnvironment(builder.build().map_err(|error| wrong(said(&error)))?)
            }
        };
        let name = match endpoint {
            Some(endpoint) => format!("bucket {bucket} at {endpoint}"),
            None => format!("bucket {bucket} in {region}"),
        };
        Ok(Self { signed, clock, prefix: settings.prefix.clone(), name })
    }

    fn key(&self, path: &str) -> Key {
        Key::from(format!("{}{path}", self.prefix))
    }

    async fn asked<T>(&self, answer: impl Future<Output = object_store::Result<T>>) -> Result<T, PublicationError> {
        let answer = tokio::select! {
            answer = answer => answer.map_err(|error| said(&error)),
            () = self.clock.sleep(REQUEST) => Err(format!("no answer within {} s", REQUEST.as_secs())),
        };
        answer.map_err(|said| PublicationError::Bucket { bucket: self.name.clone(), said })
    }

    /// As it is to be asked now.
    async fn store(&self) -> Result<AmazonS3, PublicationError> {
        self.signed.store().await.map_err(|said| PublicationError::Bucket { bucket: self.name.clone(), said })
    }

    async fn get(&self, store: &AmazonS3, path: &str, octets: Range<u64>) -> object_store::Result<(Bytes, u64)> {
        let options = GetOptions { range: Some(GetRange::Bounded(octets)), ..GetOptions::default() };
        let result = store.get_opts(&self.key(path), options).await?;
        let whole = result.meta.size;
        Ok((result.bytes().await?, whole))
    }

    /// Part by part: no more than one is held.
    async fn send(
        &self,
        upload: &mut dyn MultipartUpload,
        mut full: Gathered,
        contents: &mut Pieces<'_>,
    ) -> Result<(), PublicationError> {
        while full.octets > 0 {
            self.asked(upload.put_part(full.payload())).await?;
            full.gather(contents).await?;
        }
        self.asked(upload.complete()).await.map(drop)
    }
}

/// What it is asked with holds secrets.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}

#[async_trait]
impl Destination for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    async fn start(&self, path: &str) -> Result<Option<(Bytes, u64)>, PublicationError> {
        let store = self.store().await?;
        let start = async {
            match self.get(&store, path, 0..START_OCTETS).await {
                // The bucket itself may be what isn't there.
                Err(error @ object_store::Error::NotFound { .. }) if code_of(&error) != Some("NoSuchBucket") => {
                    Ok(None)
                }
                // No range of it: it is empty.
                Err(error) if code_of(&error) == Some("InvalidRange") => Ok(Some((Bytes::new(), 0))),
                start => start.map(Some),
            }
        };
        self.asked(start).await
    }

    async fn read(&self, path: &str, octets: Range<u64>) -> Result<Bytes, PublicationError> {
        if octets.is_empty() {
            return Ok(Bytes::new());
        }
        let store = self.store().await?;
        self.asked(self.get(&store, path, octets)).await.map(|(octets, _)| octets)
    }

    async fn replace(&self, file: &PublishedFile, contents: &mut Pieces<'_>) -> Result<(), PublicationError> {
        let (key, store) = (self.key(&file.path), self.store().await?);
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, file.content_type.to_owned()),
            (Attribute::CacheControl, format!("public, max-age={}", file.age_max.as_secs())),
        ]);
        let mut gathered = Gathered::default();
        gathered.gather(contents).await?;
        if file.octets <= PART_OCTETS as u64 {
            let options = PutOptions { attributes, ..PutOptions::default() };
            return self.asked(store.put_opts(&key, gathered.payload(), options)).await.map(drop);
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = self.asked(store.put_multipart_opts(&key, options)).await?;
        let sent = self.send(&mut *upload, gathered, contents).await;
        if sent.is_err() {
            // Parts that nobody will ever ask for cost money. A bucket's own rule has to remove what a kill leaves.
            let _tried = self.asked(upload.abort()).await;
        }
        sent
    }
}

/// Octets up to those of a part: all parts but the last have to be as long as each other in some of these storages.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Bytes>,
    octets: usize,
    /// The rest of a piece that had too much.
    rest: Bytes,
}

impl Gathered {
    async fn gather(&mut self, contents: &mut Pieces<'_>) -> Result<(), PublicationError> {
        while self.octets < PART_OCTETS {
            if self.rest.is_empty() {
                let Some(piece) = contents.next().await? else { break };
                self.rest = piece;
            }
            let piece = self.rest.split_to(self.rest.len().min(PART_OCTETS - self.octets));
            self.octets += piece.len();
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn payload(&mut self) -> PutPayload {
        self.octets = 0;
        PutPayload::from_iter(std::mem::take(&mut self.pieces))
    }
}

fn of_environment(
    mut builder: AmazonS3Builder,
    variables: &S3Variables,
    elsewhere: bool,
) -> Result<AmazonS3Builder, PublicationError> {
    let set = |name| variables.value(name).is_some();
    let wrong = |why: &str| Err(PublicationError::Configuration(why.to_owned()));
    if set("AWS_ACCESS_KEY_ID") != set("AWS_SECRET_ACCESS_KEY") {
        return wrong("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY one alone is set; set both");
    }
    let sources = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    // Amazon's own machines have roles; others would be asked for one in vain.
    if elsewhere && !sources.into_iter().any(set) {
        return wrong(
            "no credentials: name a file in crl.publish.s3, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        );
    }
    for (name, value) in &variables.0 {
        let region = matches!(name.as_str(), "AWS_REGION" | "AWS_DEFAULT_REGION");
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
            && !region
        {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

/// What signs requests.
enum Signed {
    ByEnvironment(AmazonS3),
    /// The file is read each time: it is small, and may be replaced.
    ByFile {
        path: PathBuf,
        builder: Box<AmazonS3Builder>,
        /// What was in it, and what that came to.
        last: Mutex<Option<(String, AmazonS3)>>,
    },
}

impl Signed {
    async fn store(&self) -> Result<AmazonS3, String> {
        let (path, builder, last) = match self {
            Self::ByEnvironment(store) => return Ok(store.clone()),
            Self::ByFile { path, builder, last } => (path, builder, last),
        };
        let wrong = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let text = tokio::fs::read_to_string(path).await.map_err(|error| wrong(&error))?;
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, store)) = &*last
            && *known == text
        {
            return Ok(store.clone());
        }
        let missing = "has no aws_access_key_id and aws_secret_access_key under [default]";
        let AwsCredential { key_id, secret_key, token } = credential_of(&text).ok_or_else(|| wrong(&missing))?;
        let mut builder = builder.as_ref().clone().with_access_key_id(key_id).with_secret_access_key(secret_key);
        if let Some(token) = token {
            builder = builder.with_token(token);
        }
        let store = builder.build().map_err(|error| said(&error))?;
        *last = Some((text, store.clone()));
        Ok(store)
    }
}

/// The key of the profile `default`, or of what stands before any profile.
fn credential_of(text: &str) -> Option<AwsCredential> {
    let (mut profile, mut key_id, mut secret_key, mut token) = ("default", None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            profile = name.trim();
        }
        let Some((name, value)) = line.split_once('=').filter(|_| profile == "default") else { continue };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim() {
            "aws_access_key_id" => key_id = value,
            "aws_secret_access_key" => secret_key = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    Some(AwsCredential { key_id: key_id?, secret_key: secret_key?, token })
}

/// What S3 said, or what happened to the connection: in one line, with what to do where that is known.
fn said(error: &object_store::Error) -> String {
    let text = text_of(error);
    let line = match (within(&text, "Code"), within(&text, "Message")) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or_default()),
        (None, _) => text.clone(),
    };
    let line: String =
        line.chars().map(|one| if one.is_control() { ' ' } else { one }).take(SAID_CHARACTERS_MAX).collect();
    let advice = match within(&text, "Code") {
        Some("NoSuchBucket") => "; make the bucket, or look at crl.publish.s3.bucket",
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken") => {
            "; look at the key that requests are signed with"
        }
        Some("AccessDenied") => {
            "; the key has to have s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload"
        }
        Some("AuthorizationHeaderMalformed" | "PermanentRedirect") => "; look at crl.publish.s3.region and endpoint",
        Some(_) | None => "",
    };
    format!("{}{advice}", line.trim_end().trim_end_matches('.'))
}

/// The innermost error that says something: those around it repeat it.
fn text_of(error: &object_store::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

fn code_of(error: &object_store::Error) -> Option<&'static str> {
    let text = text_of(error);
    ["NoSuchBucket", "InvalidRange"].into_iter().find(|code| within(&text, "Code") == Some(code))
}

/// The text of an XML element of this name.
fn within<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{element}>"))?;
    rest.split_once(&format!("</{element}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_that_of_the_default_profile() {
        let text = "[other]\naws_access_key_id = no\naws_secret_access_key = no\n\n[default]\n aws_access_key_id=AK\n\
                    aws_secret_access_key = a/b+c=\n# aws_session_token = no\n";
        let key = credential_of(text).expect("there is one");
        assert_eq!((key.key_id.as_str(), key.secret_key.as_str(), key.token), ("AK", "a/b+c=", None));
        assert!(credential_of("[other]\naws_access_key_id = no\naws_secret_access_key = no").is_none());
        assert!(credential_of("aws_access_key_id = AK\naws_secret_access_key =").is_none());
    }

    #[test]
    fn storage_without_anything_to_sign_with_is_refused() {
        let settings = |variables: &[&str]| S3Settings {
            bucket: "a".to_owned(),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            region: "r".to_owned(),
            prefix: String::new(),
            virtual_hosted: false,
            credentials: S3Credentials::Environment(S3Variables(
                variables.iter().map(|name| ((*name).to_owned(), "hidden".to_owned())).collect(),
            )),
            tls_roots: None,
        };
        let clock: Arc<dyn Clock> = Arc::new(crate::world::SystemClock::new());
        let open = |variables: &[&str]| Bucket::open(&settings(variables), Arc::clone(&clock));
        open(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).expect("it can be used");
        for (variables, told) in [(&[][..], "no credentials"), (&["AWS_ACCESS_KEY_ID"], "one alone is set")] {
            let error = open(variables).expect_err("it can't be used").to_string();
            assert!(error.contains(told) && !error.contains("hidden"), "{error}");
        }
        let roots = S3Settings { endpoint: Some("https://127.0.0.1:9".to_owned()), ..settings(&["AWS_ROLE_ARN"]) };
        let roots = S3Settings { tls_roots: Some("/nowhere".into()), ..roots };
        let error = Bucket::open(&roots, clock).expect_err("it can't be used").to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
