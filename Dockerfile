# syntax=docker/dockerfile:1

# Builds with BuildKit (the default since Docker 23): docker build -t mintage .
# Dependencies and their compiled form are kept in cache mounts, so a change of src/ recompiles this crate alone.
ARG RUST_VERSION=1.95
FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY benches benches
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin mintage \
    && cp target/release/mintage /mintage \
    && mkdir /state

# The binary needs glibc and libgcc_s; aws-lc is linked into it. The cc image is those two of the same Debian release as
# the build stage, so it runs what was tested, CA certificates for `mintage token verify`, and no shell. A static musl
# build would be smaller by some 20 MB, but then the libc in production is one that the tests never saw.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mintage" \
    org.opencontainers.image.description="An OAuth 2.0 token service for machines: REST and gRPC on one port" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="https://github.com/mintage/mintage" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

COPY --from=build /mintage /usr/bin/mintage
# The embedded store and its master key; with PostgreSQL nothing is written.
COPY --from=build --chown=65532:65532 --chmod=0700 /state /var/lib/mintage
VOLUME /var/lib/mintage

# Plain HTTP, which a sidecar or proxy in front of the container turns into HTTPS. To speak TLS in the container itself, set
# MINTAGE_TLS_CERT_FILE and MINTAGE_TLS_KEY_FILE to mounted files; the health check then follows, and changed files are read
# again.
ENV MINTAGE_ALLOW_PLAIN_HTTP=true

# Reachable from outside the container, and where the health check asks. The ops port stays on the container's loopback
# until MINTAGE_OPS_LISTEN says otherwise.
ENV MINTAGE_LISTEN=0.0.0.0:8000 \
    MINTAGE_DATABASE_URL=sqlite:///var/lib/mintage/mintage.db
EXPOSE 8000
# The image's own unprivileged user, by number so that an orchestrator can see that it is not root.
USER 65532:65532
# The server finishes what it has begun, for at most 10 s: the grace period of `docker stop`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/mintage", "healthcheck"]
ENTRYPOINT ["/usr/bin/mintage"]
CMD ["serve", "--config", "/etc/mintage/mintage.toml"]
