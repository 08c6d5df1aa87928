//! `htu` against the URI of a request (RFC 9449 §4.3): after syntax-based and scheme-based normalisation (RFC 3986 §6.2.2,
//! §6.2.3), without query and fragment.

/// What a proof must be for.
#[derive(Debug)]
pub(super) struct Target {
    /// The HTTP method.
    pub(super) method: &'static str,
    /// The URI of the endpoint.
    pub(super) uri: String,
}

/// Whether two URIs name the same resource. What cannot be read names none.
pub(super) fn same_target(htu: &str, uri: &str) -> bool {
    normalise(htu).is_some_and(|htu| Some(htu) == normalise(uri))
}

/// Scheme, host, port and path of an absolute http or https URI in their normal form.
fn normalise(uri: &str) -> Option<String> {
    // RFC 3986 §2: parsers for browsers forgive more, and would make many spellings of one.
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if !uri.bytes().all(allowed) {
        return None;
    }
    let end = uri.find(['?', '#']).unwrap_or(uri.len());
    let (scheme, rest) = uri[..end].split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match &*scheme {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // The host of an IPv6 address has colons of its own, in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, default_port),
    };
    if host.is_empty() || host.contains('@') || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = if port.is_empty() { default_port } else { port };
    let host = unescape(host)?.to_ascii_lowercase();
    let path = without_dots(&unescape(path)?);
    Some(format!("{scheme}://{host}:{port}{path}"))
}

/// Escapes of unreserved characters are undone, and the others are written in capitals (RFC 3986 §6.2.2.1, §6.2.2.2).
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut result = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // `from_str_radix` would take a sign.
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push('%');
            result.push_str(&digits.to_ascii_uppercase());
        }
        result.push_str(rest);
    }
    Some(result)
}

/// RFC 3986 §5.2.4; an empty path is `/` (§6.2.3).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if at + 1 == segments.len() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // CHK-120; RFC 3986 §6.2.2, §6.2.3
    #[test]
    fn spellings_of_one_uri_are_one() {
        let uri = "https://id.example/tenant/token";
        for htu in [
            uri,
            "HTTPS://ID.Example/tenant/token",
            "https://id.example:443/tenant/token",
            "https://id.example:/tenant/token",
            "https://id.example/tenant/token?a=b/c#d",
            "https://id.example/tenant/token#d?x",
            "https://id.example/%74enant/t%6Fken",
            "https://id.example/a/../tenant/./token",
            "https://id.example/a/%2e%2E/tenant/token",
        ] {
            assert!(same_target(htu, uri), "{htu}");
        }
        assert!(same_target("http://localhost", "http://localhost:80/?x"));
        assert!(same_target("http://[::1]:8000/token", "http://[::1]:8000/token"));
        assert!(same_target("https://[::1]/a%2fb/..", "https://[::1]:443/"));
    }

    // CHK-120, V-48
    #[test]
    fn another_uri_is_another() {
        let uri = "https://id.example/tenant/token";
        for htu in [
            "",
            "/tenant/token",
            "//id.example/tenant/token",
            "http://id.example/tenant/token",
            "ftp://id.example/tenant/token",
            "https:id.example/tenant/token",
            "https://evil.example/tenant/token",
            "https://id.example.evil/tenant/token",
            "https://id.example:8443/tenant/token",
            "https://id.example:443:443/tenant/token",
            "https://user@id.example/tenant/token",
            "https://id.example@evil.example/tenant/token",
            "https://id.example/tenant/token/",
            "https://id.example/Tenant/token",
            "https://id.example//tenant/token",
            "https://id.example/tenant%2Ftoken",
            "https://id.example/token",
            "https://id.example",
            "https://id.example/tenant/token%",
            "https://id.example/tenant/token%2",
            "https://id.example/tenant/tok%+Aen",
            "https://id.example/tenant/token ",
            " https://id.example/tenant/token",
            "https://id.example\\tenant\\token",
            "https://id.example/tenant/to\tken",
            "https://id.ex\u{e4}mple/tenant/token",
            "https:///tenant/token",
            "https://:443/tenant/token",
        ] {
            assert!(!same_target(htu, uri), "{htu}");
        }
    }

    // RFC 3986 §5.4
    #[test]
    fn dots_are_removed_as_the_rfc_shows() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/a/b/c/./../../g", "/a/g"),
            ("/b/c/..", "/b/"),
            ("/b/c/.", "/b/c/"),
            ("/../../g", "/g"),
            ("/b/c/g..", "/b/c/g.."),
            ("/b//c", "/b//c"),
        ] {
            assert_eq!(without_dots(path), expected, "{path}");
        }
    }
}
