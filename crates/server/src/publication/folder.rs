//! A folder, for another web server or a mirror to serve.

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::destination::{Destination, Pieces, PublicationError, PublishedFile, START_OCTETS};

/// A folder, which is made if it isn't there.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    name: String,
}

impl Folder {
    /// This one.
    pub fn new(path: PathBuf) -> Self {
        Self { name: format!("folder {}", path.display()), path }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// The file's folder, and what is above it: a new one lasts if the one above it is synced.
    async fn make_folders(&self, path: &Path) -> Result<(), PublicationError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if fs::try_exists(parent).await.map_err(at(parent))? {
            return Ok(());
        }
        fs::create_dir_all(parent).await.map_err(at(parent))?;
        for above in parent.ancestors().skip(1).take_while(|above| above.starts_with(&self.path)) {
            sync(above).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    async fn start(&self, path: &str) -> Result<Option<(Bytes, u64)>, PublicationError> {
        let path = self.at(path);
        let file = match fs::File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(at(&path))?,
        };
        let octets = file.metadata().await.map_err(at(&path))?.len();
        let mut start = Vec::new();
        file.take(START_OCTETS).read_to_end(&mut start).await.map_err(at(&path))?;
        Ok(Some((start.into(), octets)))
    }

    async fn read(&self, path: &str, octets: Range<u64>) -> Result<Bytes, PublicationError> {
        let path = self.at(path);
        let read = async {
            let mut file = fs::File::open(&path).await?;
            file.seek(SeekFrom::Start(octets.start)).await?;
            let mut contents = Vec::new();
            file.take(octets.end.saturating_sub(octets.start)).read_to_end(&mut contents).await?;
            Ok(contents.into())
        };
        read.await.map_err(at(&path))
    }

    async fn replace(&self, file: &PublishedFile, contents: &mut Pieces<'_>) -> Result<(), PublicationError> {
        let path = self.at(&file.path);
        let part = path.with_extension("part");
        self.make_folders(&path).await?;
        let written = write(&part, contents).await;
        if written.is_err() {
            // It is overwritten by the next try, but may take the room that the others need.
            let _gone_already = fs::remove_file(&part).await;
        }
        written?;
        fs::rename(&part, &path).await.map_err(at(&path))?;
        match path.parent() {
            Some(parent) => sync(parent).await,
            None => Ok(()),
        }
    }
}

async fn write(part: &Path, contents: &mut Pieces<'_>) -> Result<(), PublicationError> {
    let mut file = fs::File::create(part).await.map_err(at(part))?;
    while let Some(piece) = contents.next().await? {
        file.write_all(&piece).await.map_err(at(part))?;
    }
    file.flush().await.map_err(at(part))?;
    file.sync_all().await.map_err(at(part))
}

/// What was renamed or made in a folder outlives a power cut once the folder is synced.
async fn sync(folder: &Path) -> Result<(), PublicationError> {
    let path = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = async { fs::File::open(path).await?.sync_all().await };
    synced.await.map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PublicationError {
    let path = path.to_owned();
    move |error| PublicationError::File { path, error }
}
