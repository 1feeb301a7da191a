//! A small editor of DER: takes a TBSCertificate or a TBSCertList apart and puts it together again, right or wrong.

use const_oid::ObjectIdentifier;

pub(super) const BOOLEAN_TRUE: [u8; 3] = [1, 1, 0xff];
pub(super) const BOOLEAN_FALSE: [u8; 3] = [1, 1, 0];

pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        length @ 0..0x80 => der.push(u8::try_from(length).unwrap()),
        length @ 0x80..0x100 => der.extend([0x81, u8::try_from(length).unwrap()]),
        length => {
            der.push(0x82);
            der.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    der.extend_from_slice(content);
    der
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(super) fn oid(id: ObjectIdentifier) -> Vec<u8> {
    tlv(6, id.as_bytes())
}

pub(super) fn algorithm(id: ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
    sequence(&[&oid(id), parameters])
}

pub(super) fn utc_time(text: &str) -> Vec<u8> {
    tlv(0x17, text.as_bytes())
}

pub(super) fn generalized_time(text: &str) -> Vec<u8> {
    tlv(0x18, text.as_bytes())
}

/// A subject of one attribute per RDN: attribute type, string tag, text.
pub(super) fn name(attributes: &[(ObjectIdentifier, u8, &str)]) -> Vec<u8> {
    let rdn = |(id, tag, text): &(ObjectIdentifier, u8, &str)| {
        tlv(0x31, &sequence(&[&oid(*id), &tlv(*tag, text.as_bytes())]))
    };
    tlv(0x30, &attributes.iter().flat_map(rdn).collect::<Vec<u8>>())
}

/// The value of a subjectAltName: context tag and content of each name.
pub(super) fn general_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    tlv(0x30, &names.iter().flat_map(|(tag, content)| tlv(0x80 | tag, content)).collect::<Vec<u8>>())
}

pub(super) fn dns(name: &str) -> (u8, &[u8]) {
    (2, name.as_bytes())
}

/// A distribution point, or the start of an issuing one: one full name.
pub(super) fn full_name(uri: &[u8]) -> Vec<u8> {
    tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri)))
}

/// The values that follow each other in `content`, each whole.
pub(super) fn parts(mut content: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !content.is_empty() {
        let (header, length) = header_and_length(content);
        found.push(content[..header + length].to_vec());
        content = &content[header + length..];
    }
    found
}

pub(super) fn content(der: &[u8]) -> &[u8] {
    let (header, length) = header_and_length(der);
    assert_eq!(header + length, der.len());
    &der[header..]
}

fn header_and_length(der: &[u8]) -> (usize, usize) {
    match der[1] {
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        short => (2, usize::from(short)),
    }
}

#[derive(Clone)]
pub(super) struct Extension {
    pub(super) id: ObjectIdentifier,
    /// Encoded, or nothing.
    pub(super) critical: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Extension {
    pub(super) fn new(id: ObjectIdentifier, critical: bool, value: &[u8]) -> Self {
        let critical = if critical { BOOLEAN_TRUE.to_vec() } else { Vec::new() };
        Self { id, critical, value: value.to_vec() }
    }

    fn read(der: &[u8]) -> Self {
        let parts = parts(content(der));
        Self {
            id: ObjectIdentifier::from_bytes(content(&parts[0])).unwrap(),
            critical: if parts.len() == 3 { parts[1].clone() } else { Vec::new() },
            value: content(parts.last().unwrap()).to_vec(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        sequence(&[&oid(self.id), &self.critical, &tlv(4, &self.value)])
    }
}

#[derive(Clone)]
pub(super) struct Extensions(pub(super) Vec<Extension>);

impl Extensions {
    pub(super) fn read(der: &[u8]) -> Self {
        Self(parts(content(der)).iter().map(|der| Extension::read(der)).collect())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        tlv(0x30, &self.0.iter().flat_map(Extension::encode).collect::<Vec<u8>>())
    }

    pub(super) fn of(&mut self, id: ObjectIdentifier) -> &mut Extension {
        self.0.iter_mut().find(|extension| extension.id == id).expect("the good one has this extension")
    }

    pub(super) fn value(&mut self, id: ObjectIdentifier, value: &[u8]) {
        self.of(id).value = value.to_vec();
    }

    pub(super) fn critical(&mut self, id: ObjectIdentifier, critical: bool) {
        self.of(id).critical = if critical { BOOLEAN_TRUE.to_vec() } else { Vec::new() };
    }

    pub(super) fn remove(&mut self, id: ObjectIdentifier) {
        self.of(id);
        self.0.retain(|extension| extension.id != id);
    }

    pub(super) fn add(&mut self, id: ObjectIdentifier, critical: bool, value: &[u8]) {
        self.0.push(Extension::new(id, critical, value));
    }
}

/// A TBSCertificate in parts, each encoded.
pub(super) struct Certificate {
    pub(super) version: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) not_before: Vec<u8>,
    pub(super) not_after: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) unique_identifiers: Vec<u8>,
    pub(super) extensions: Extensions,
}

impl Certificate {
    pub(super) fn read(tbs: &[u8]) -> Self {
        let parts = parts(content(tbs));
        let [version, serial, algorithm, issuer, validity, subject, public_key, extensions] = &parts[..] else {
            panic!("a good TBSCertificate has eight parts");
        };
        let times = self::parts(content(validity));
        Self {
            version: version.clone(),
            serial: serial.clone(),
            algorithm: algorithm.clone(),
            issuer: issuer.clone(),
            not_before: times[0].clone(),
            not_after: times[1].clone(),
            subject: subject.clone(),
            public_key: public_key.clone(),
            unique_identifiers: Vec::new(),
            extensions: Extensions::read(content(extensions)),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        sequence(&[
            &self.version,
            &self.serial,
            &self.algorithm,
            &self.issuer,
            &sequence(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.public_key,
            &self.unique_identifiers,
            &tlv(0xa3, &self.extensions.encode()),
        ])
    }
}

/// A TBSCertList in parts, each encoded.
pub(super) struct Crl {
    pub(super) version: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) this_update: Vec<u8>,
    pub(super) next_update: Vec<u8>,
    /// The whole of revokedCertificates.
    pub(super) revoked: Vec<u8>,
    pub(super) extensions: Extensions,
}

impl Crl {
    pub(super) fn read(tbs: &[u8]) -> Self {
        let parts = parts(content(tbs));
        let [version, algorithm, issuer, this_update, next_update, revoked @ .., extensions] = &parts[..] else {
            panic!("a good TBSCertList has six parts at least");
        };
        Self {
            version: version.clone(),
            algorithm: algorithm.clone(),
            issuer: issuer.clone(),
            this_update: this_update.clone(),
            next_update: next_update.clone(),
            revoked: revoked.concat(),
            extensions: Extensions::read(content(extensions)),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        sequence(&[
            &self.version,
            &self.algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update,
            &self.revoked,
            &tlv(0xa0, &self.extensions.encode()),
        ])
    }
}

/// An entry of a CRL: serial, time, extensions.
pub(super) fn entry(serial: &[u8], time: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { Extensions(extensions.to_vec()).encode() };
    sequence(&[&tlv(2, serial), time, &extensions])
}
