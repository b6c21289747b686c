# One static binary on an empty image, with the public certificate authorities and nothing else.
# The builder only needs Rust, a C compiler and cmake; pin it by digest in your own builds.
FROM rust:1.95.0-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY . .
RUN cargo build --locked --profile dist --bin dataimporter \
 && cp target/x86_64-unknown-linux-gnu/dist/dataimporter /dataimporter

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /dataimporter /dataimporter
USER 65532:65532
ENTRYPOINT ["/dataimporter"]
