//! Certificates that are sound, and those with one thing wrong each.

use std::net::IpAddr;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DnType, DnValue, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use super::*;
use crate::{clock::Timestamp, peer::CertificateChain};

/// 2026-01-01; what is made here is valid in that year.
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 12, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(ca_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn issue(issuer: &Issuer, params: &CertificateParams) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn chain(leaf: Vec<u8>, intermediates: &[&Issuer]) -> CertificateChain {
    CertificateChain {
        leaf,
        intermediates: intermediates.iter().map(|issuer| issuer.der().to_vec()).collect(),
    }
}

fn authorities(roots: &[&Issuer]) -> Authorities {
    Authorities::from_pem(roots.iter().map(|root| root.pem()).collect::<String>().as_bytes()).unwrap()
}

fn verify(roots: &[&Issuer], leaf: Vec<u8>) -> Result<Certificate, Untrusted> {
    authorities(roots).verify(&chain(leaf, &[]), NOW)
}

fn verify_with(root: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Result<Certificate, Untrusted> {
    let mut params = params("client");
    change(&mut params);
    verify(&[root], issue(root, &params))
}

/// The certificate of RFC 8705 Appendix A.
const RFC_8705: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

// CHK-115
#[test]
fn thumbprint_of_the_rfc_example() {
    use base64::engine::{Engine, general_purpose::STANDARD};
    let der = STANDARD.decode(RFC_8705).unwrap();
    assert_eq!(x5t_s256(&der), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
    // It has no version and is therefore none that a client could authenticate with.
    assert_eq!(Certificate::parse(&der), Err(InvalidCertificate));
}

#[test]
fn a_certificate_is_read() {
    let root = root("root");
    let mut params = params("billing");
    params
        .distinguished_name
        .push(DnType::OrganizationName, DnValue::PrintableString("Example, Inc.".try_into().unwrap()));
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.subject_alt_names = vec![
        SanType::DnsName("billing.example".try_into().unwrap()),
        SanType::URI("spiffe://example.org/billing".try_into().unwrap()),
        SanType::URI("https://billing.example".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::IpAddress("2001:db8::7".parse().unwrap()),
        SanType::Rfc822Name("billing@example.com".try_into().unwrap()),
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let der = issue(&root, &params);
    let read = Certificate::parse(&der).unwrap();
    assert_eq!(read.subject.as_ref().unwrap().to_string(), r"C=DE,O=Example\, Inc.,CN=billing");
    assert_eq!(read.dns_names, ["billing.example"]);
    assert_eq!(read.uris, ["spiffe://example.org/billing", "https://billing.example"]);
    assert_eq!(read.addresses, ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(read.emails, ["billing@example.com"]);
    assert_eq!(read.x5t_s256, x5t_s256(&der));
    assert_eq!(read.not_before, Timestamp::from_seconds(1_764_547_200));
    assert_eq!(read.not_after, Timestamp::from_seconds(1_798_761_600));
    assert!(!read.is_ca && !read.signs_certificates);
    assert!(read.is_valid_at(read.not_after) && !read.is_valid_at(Timestamp::from_seconds(1_798_761_601)));
    assert_eq!(verify(&[&root], der), Ok(read));
    let of_root = Certificate::parse(root.der()).unwrap();
    assert!(of_root.is_ca && of_root.signs_certificates);
}

// V-20
#[test]
fn names_are_compared_by_their_parts() {
    let root = root("root");
    let subject = |change: &dyn Fn(&mut rcgen::DistinguishedName)| {
        let mut params = params("x");
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params.distinguished_name);
        Certificate::parse(&issue(&root, &params)).unwrap().subject
    };
    let b = DistinguishedName::parse("CN=B").ok();
    assert_eq!(subject(&|name| name.push(DnType::CommonName, "B")), b);
    assert_eq!(
        subject(&|name| name.push(DnType::CommonName, DnValue::PrintableString("B".try_into().unwrap()))),
        b
    );
    assert_eq!(
        subject(&|name| name.push(DnType::CommonName, DnValue::BmpString("B".try_into().unwrap()))),
        b
    );
    for other in ["B\0", "b", "B ", "A,CN=B", "CN=B"] {
        assert_ne!(subject(&|name| name.push(DnType::CommonName, other)), b, "{other:?}");
    }
    assert_ne!(subject(&|name| name.push(DnType::OrganizationName, "CN=B")), b);
    assert_ne!(subject(&|name| name.push(DnType::OrganizationName, "x/CN=B")), b);
    // A TeletexString means what its writer thought it meant.
    assert_ne!(
        subject(&|name| name.push(DnType::CommonName, DnValue::TeletexString("B".try_into().unwrap()))),
        b
    );
    assert_eq!(subject(&|_| ()), None);
}

#[test]
fn a_path_leads_to_an_anchor() {
    let root = root("root");
    let other = self::root("other");
    let intermediate =
        CertifiedIssuer::signed_by(ca_params("intermediate"), KeyPair::generate().unwrap(), &root).unwrap();
    let leaf = issue(&intermediate, &params("client"));
    let path = chain(leaf.clone(), &[&intermediate]);
    assert!(authorities(&[&root]).verify(&path, NOW).is_ok());
    assert!(authorities(&[&other, &root]).verify(&path, NOW).is_ok());
    assert!(authorities(&[&intermediate]).verify(&chain(leaf.clone(), &[]), NOW).is_ok());
    assert_eq!(authorities(&[&other]).verify(&path, NOW), Err(Untrusted::Issuer));
    assert_eq!(authorities(&[&root]).verify(&chain(leaf, &[]), NOW), Err(Untrusted::Issuer));
    // A chain that was only pasted together: the leaf is the other authority's.
    let foreign = chain(issue(&other, &params("client")), &[&intermediate, &root]);
    assert_eq!(authorities(&[&root]).verify(&foreign, NOW), Err(Untrusted::Issuer));
    // The same name, another key.
    let namesake = self::root("root");
    assert_eq!(verify(&[&root], issue(&namesake, &params("client"))), Err(Untrusted::Issuer));
    // Itself alone.
    let selfsigned = params("client").self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(verify(&[&root], selfsigned.der().to_vec()), Err(Untrusted::Issuer));
    let many = CertificateChain { intermediates: vec![root.der().to_vec(); 9], ..path };
    assert_eq!(authorities(&[&root]).verify(&many, NOW), Err(Untrusted::Malformed));
}

#[test]
fn only_an_authority_issues_certificates() {
    let root = root("root");
    // A leaf that signs: a subject that makes itself an authority.
    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf_params = params("leaf");
    leaf_params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = CertifiedIssuer::signed_by(leaf_params, leaf_key, &root).unwrap();
    let path = chain(issue(&leaf, &params("client")), &[&leaf]);
    assert_eq!(authorities(&[&root]).verify(&path, NOW), Err(Untrusted::Issuer));
    // Nor is an authority itself a client.
    assert_eq!(verify_with(&root, |params| *params = ca_params("client")), Err(Untrusted::Issuer));
    // Such a file is refused before anything is trusted.
    assert_eq!(
        Authorities::from_pem(format!("{}{}", root.pem(), leaf.pem()).as_bytes()).unwrap_err(),
        InvalidAuthorities::NotAnAuthority(2)
    );
}

// V-20
#[test]
fn validity_and_purpose_count() {
    let root = root("root");
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2025, 12, 31);
    assert_eq!(verify_with(&root, expired), Err(Untrusted::Validity));
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2026, 1, 2);
    assert_eq!(verify_with(&root, early), Err(Untrusted::Validity));
    let usage = |usages: &[ExtendedKeyUsagePurpose]| {
        verify_with(&root, |params| params.extended_key_usages = usages.to_vec()).map(|_| ())
    };
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::ServerAuth]), Err(Untrusted::Usage));
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::Any]), Err(Untrusted::Usage));
    assert_eq!(usage(&[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]), Ok(()));
    assert_eq!(usage(&[]), Ok(()));

    let mut old = ca_params("old");
    old.not_after = date_time_ymd(2025, 12, 31);
    let old = CertifiedIssuer::self_signed(old, KeyPair::generate().unwrap()).unwrap();
    assert_eq!(verify(&[&old], issue(&old, &params("client"))), Err(Untrusted::Issuer));
}

// V-66
#[test]
fn name_constraints_are_honoured() {
    let constrained = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
        let mut params = ca_params("constrained");
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let with = |root: &Issuer, name: SanType| {
        verify_with(root, |params| params.subject_alt_names = vec![name]).map(|_| ())
    };
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let refused = Err(Untrusted::NameConstraints);

    let permitted = constrained(vec![GeneralSubtree::DnsName("example.com".to_owned())], Vec::new());
    assert_eq!(with(&permitted, dns("a.example.com")), Ok(()));
    assert_eq!(with(&permitted, dns("a.example.org")), refused);
    assert_eq!(with(&permitted, dns("badexample.com")), refused);
    assert_eq!(with(&permitted, dns("*.example.org")), refused);
    let excluded = constrained(Vec::new(), vec![GeneralSubtree::DnsName("secret.example.com".to_owned())]);
    assert_eq!(with(&excluded, dns("a.example.com")), Ok(()));
    assert_eq!(with(&excluded, dns("a.secret.example.com")), refused);
    // A wildcard covers names below the excluded one.
    assert_eq!(with(&excluded, dns("*.example.com")), refused);
    // Kinds that are not implemented refuse what they could apply to.
    let mails = constrained(vec![GeneralSubtree::Rfc822Name("example.com".to_owned())], Vec::new());
    assert_eq!(with(&mails, mail("a@example.com")), refused);
    assert_eq!(with(&mails, dns("a.example.com")), Ok(()));
    let mut names = rcgen::DistinguishedName::new();
    names.push(DnType::OrganizationName, "Example");
    let names = constrained(vec![GeneralSubtree::DirectoryName(names)], Vec::new());
    assert_eq!(with(&names, uri("https://a.example")), refused);
}

fn revocation_list(issuer: &Issuer, serial: u64, until: i32) -> String {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 15),
        next_update: date_time_ymd(until, 6, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2025, 12, 15),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}

// V-66
#[test]
fn a_revoked_certificate_is_refused() {
    let root = root("root");
    let namesake = self::root("root");
    let with = |lists: &str, serial: u64| {
        let mut params = params("client");
        params.serial_number = Some(SerialNumber::from(serial));
        Authorities::from_pem(format!("{}{lists}", root.pem()).as_bytes())
            .map_err(|error| error.to_string())?
            .verify(&chain(issue(&root, &params), &[]), NOW)
            .map(|_| ())
            .map_err(|error| format!("{error:?}"))
    };
    let revoked = Err("Revoked".to_owned());
    let list = revocation_list(&root, 7, 2026);
    assert_eq!(with(&list, 7), revoked);
    assert_eq!(with(&list, 8), Ok(()));
    // Past its next update, or signed by somebody else: nothing is known of any certificate.
    assert_eq!(with(&revocation_list(&root, 7, 2025), 8), revoked);
    assert_eq!(with(&revocation_list(&namesake, 7, 2026), 8), revoked);
    assert_eq!(with(&revocation_list(&self::root("other"), 7, 2026), 8), revoked);
    let twice = with(&format!("{list}{}", revocation_list(&root, 8, 2026)), 7).unwrap_err();
    assert!(twice.contains("revocation list 2"), "{twice}");
    let malformed = "-----BEGIN X509 CRL-----\nMIIBBjCBrAIBAjAKBggqhkjOPQQDAg==\n-----END X509 CRL-----\n";
    let unread = with(&format!("{list}{malformed}"), 8).unwrap_err();
    assert!(unread.contains("revocation list 2"), "{unread}");
}

#[test]
fn a_set_of_authorities_is_whole_or_refused() {
    let root = root("root");
    let refused = |pem: &str| Authorities::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(refused(""), InvalidAuthorities::Empty);
    assert_eq!(refused("no certificate"), InvalidAuthorities::Empty);
    assert_eq!(refused(&root.key().serialize_pem()), InvalidAuthorities::Empty);
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(&format!("{}{broken}", root.pem())), InvalidAuthorities::Certificate(2));
    assert_eq!(
        refused("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"),
        InvalidAuthorities::Pem
    );
    assert_eq!(refused("-----BEGIN CERTIFICATE-----\nMIIB"), InvalidAuthorities::Pem);
    assert_eq!(authorities(&[&root, &root]).count(), 2);
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let root = root("root");
    let parse = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("client");
        change(&mut params);
        Certificate::parse(&issue(&root, &params)).map(|_| ())
    };
    assert_eq!(parse(&|_| ()), Ok(()));
    let unknown = |critical: bool| {
        move |params: &mut CertificateParams| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(critical);
            params.custom_extensions = vec![extension];
        }
    };
    assert_eq!(parse(&unknown(false)), Ok(()));
    assert_eq!(parse(&unknown(true)), Err(InvalidCertificate));
    let names = |content: &[u8]| {
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
        move |params: &mut CertificateParams| params.custom_extensions.push(extension.clone())
    };
    assert_eq!(parse(&names(&[0x30, 3, 0x86, 1, b'a'])), Ok(()));
    assert_eq!(parse(&names(&[0x30, 3, 0x86, 1, 0xFF])), Err(InvalidCertificate));
    assert_eq!(parse(&names(&[0x30, 4, 0x86, 2, 0xC3, 0xA9])), Err(InvalidCertificate));
    assert_eq!(parse(&names(&[0x30, 5, 0x87, 3, 1, 2, 3])), Err(InvalidCertificate));
    assert_eq!(parse(&names(&[0x30, 3, 0x86, 9, b'a'])), Err(InvalidCertificate));
    assert_eq!(parse(&names(&[0x30, 3, 0x86, 1, b'a', 0])), Err(InvalidCertificate));
    let twice = |params: &mut CertificateParams| {
        names(&[0x30, 3, 0x86, 1, b'a'])(params);
        names(&[0x30, 3, 0x86, 1, b'b'])(params);
    };
    assert_eq!(parse(&twice), Err(InvalidCertificate));

    let sound = issue(&root, &params("client"));
    assert_eq!(Certificate::parse(&[&sound[..], &[0]].concat()), Err(InvalidCertificate));
    assert_eq!(Certificate::parse(&sound[..sound.len() - 1]), Err(InvalidCertificate));
    assert_eq!(Certificate::parse(&[]), Err(InvalidCertificate));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Certificate::parse(&bytes);
        let _ = Authorities::from_pem(&bytes);
    }
}

// A certificate with a few bytes changed gets further into the parsers than noise does.
#[test]
fn a_damaged_certificate_is_read_or_refused() {
    let root = root("root");
    let authorities = authorities(&[&root]);
    let mut params = params("client");
    params.subject_alt_names = vec![
        SanType::URI("spiffe://a/b".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let sound = issue(&root, &params);
    for at in 0..sound.len() {
        for change in [0x00, 0x01, 0x7F, 0x80, 0xFF, sound[at] ^ 1, sound[at].wrapping_add(1)] {
            let mut damaged = sound.clone();
            damaged[at] = change;
            if damaged != sound {
                let _ = Certificate::parse(&damaged);
                assert!(authorities.verify(&chain(damaged, &[]), NOW).is_err(), "byte {at} = {change}");
            }
        }
    }
    let list = revocation_list(&root, 7, 2026);
    for at in 0..list.len() {
        let mut damaged = list.clone().into_bytes();
        damaged[at] ^= 0x01;
        let _ = Authorities::from_pem(&[root.pem().as_bytes(), &damaged].concat());
    }
}
