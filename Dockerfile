# The project's images. Two ways lead here:
#
#   docker build --target controller .     from a checkout: compiles in the Rust image, which takes a while
#   tests/cluster/images                   for the test cluster: takes binaries that `make build` made
#
# The second needs no registry. Its BUILDER is an image in which /out is already filled, so the compile step below
# finds nothing to do. This shape works with the classic builder too, which runs every stage from the top, needed or not.
ARG BUILDER=rust:1.95-bookworm
FROM ${BUILDER} AS binaries
WORKDIR /src
COPY . .
RUN [ -d /out ] || { \
    apt-get update && apt-get install -y --no-install-recommends busybox-static ca-certificates && \
    . tests/env.sh && \
    cargo build --release --locked -p exportjob-controller -p exportjob-exporter && \
    mkdir -p /out/etc/ssl/certs && \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ && \
    cp "$CARGO_TARGET_DIR/$CARGO_BUILD_TARGET/release/exportjob-controller" \
       "$CARGO_TARGET_DIR/$CARGO_BUILD_TARGET/release/exportjob-exporter" /bin/busybox /out/; }

# The binaries are static: nothing else is in the images but the certificates of public authorities, for object stores.
# Volumes bring every folder that is written to.
FROM scratch AS controller
COPY --from=binaries /out/etc /etc
COPY --from=binaries /out/exportjob-controller /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/exportjob-controller"]

FROM scratch AS exporter
COPY --from=binaries /out/etc /etc
COPY --from=binaries /out/exportjob-exporter /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/exportjob-exporter"]

# A shell with the usual small programs: carries data in and out of volumes, and is what `helm test` runs.
FROM scratch AS toolbox
COPY --from=binaries /out/busybox /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
USER 65532:65532
CMD ["sh"]
