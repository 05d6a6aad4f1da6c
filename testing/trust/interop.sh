#!/usr/bin/env bash
# Signs images with the tools that others sign with, and pulls them with `lap` under content trust.
# Run by hand: cosign and a skopeo that signs (1.11 and later) are not on every machine.
#
#   LAP=… COSIGN=… SKOPEO=… testing/trust/interop.sh
#
# COSIGN and SKOPEO may be commands of several words, and either may be empty. A registry that lists
# referrers (lap's own) and one that does not (docker-registry, when it is there) are started on the
# loopback. Prints a line for each case; fails when one does.
set -uo pipefail

lap=${LAP:-lap}
cosign=${COSIGN-cosign}
skopeo=${SKOPEO-skopeo}
here=$(mktemp -d "${TMPDIR:-/dev/shm}/trust.XXXXXX")
children=()
failed=0

finish() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$here"
}
trap finish EXIT

export HOME=$here/home LAPSTRAKE_ROOT=$here/store DOCKER_CONFIG=$here/config COSIGN_PASSWORD=secret
trusted=$HOME/.config/lapstrake/trust.d
mkdir -p "$trusted" "$DOCKER_CONFIG"

say() { printf '%-7s %s\n' "$1" "$2"; [ "$1" = ok ] || failed=1; }

# Whether a trusted pull does what is expected of it: `yes`, or `no` and a part of the message.
pulls() {
  local case=$1 name=$2 wanted=$3 words=${4:-} output code
  "$lap" rmi -f "$name" >/dev/null 2>&1
  output=$("$lap" pull --disable-content-trust=false "$name" 2>&1)
  code=$?
  case $wanted/$code in
    yes/0) say ok "$case" ;;
    no/1) if [[ $output == *"$words"* ]]; then say ok "$case: $words"; else say FAILED "$case: $output"; fi ;;
    *) say FAILED "$case: exit $code: $output" ;;
  esac
}

registries=()
"$lap" registry serve --addr 127.0.0.1:5963 --root "$here/own" >"$here/own.log" 2>&1 &
children+=($!)
registries+=(127.0.0.1:5963)
if command -v docker-registry >/dev/null; then
  cat >"$here/registry.yml" <<Y
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $here/other}}
http: {addr: "127.0.0.1:5964"}
Y
  docker-registry serve "$here/registry.yml" >"$here/other.log" 2>&1 &
  children+=($!)
  registries+=(127.0.0.1:5964)
fi
for registry in "${registries[@]}"; do
  until curl -s -o /dev/null "http://$registry/v2/"; do sleep 0.1; done
done

# An image of its own for each case. The digest goes into `digest`.
push() {
  local name=$1
  mkdir -p "$here/context"
  printf 'FROM scratch\nLABEL name=%s\n' "$name" >"$here/context/Dockerfile"
  "$lap" build -q -t "$name" "$here/context" >/dev/null &&
    digest=$("$lap" push "$name" | sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p')
  [ -n "$digest" ] || say FAILED "push of $name"
}

sign() { # KEY NAME@DIGEST FLAGS…
  local key=$1 what=$2
  shift 2
  $cosign sign --key "$key" --allow-http-registry --use-signing-config=false --tlog-upload=false -y \
    "$@" "$what" >"$here/sign.log" 2>&1 || { say FAILED "cosign sign $*: $(tail -1 "$here/sign.log")"; return 1; }
}

make_key() { # KIND: $here/KIND.key, $here/KIND.pub
  local kind=$1
  (
    cd "$here" || exit
    case $kind in
      cosign) $cosign generate-key-pair --output-key-prefix cosign ;;
      p384) openssl ecparam -name secp384r1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out p384.pem ;;
      ed25519) openssl genpkey -algorithm ed25519 -out ed25519.pem ;;
      rsa) openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:3072 -out rsa.pem ;;
    esac
    [ "$kind" = cosign ] || $cosign import-key-pair --key "$kind.pem" --output-key-prefix "$kind" -y
  ) >"$here/key.log" 2>&1 || { say FAILED "key $kind: $(tail -1 "$here/key.log")"; return 1; }
}

# What cosign can do beside lap.
if [ -n "$cosign" ]; then
  declare -A forms=(
    [bundle]=""
    [payload]="--new-bundle-format=false"
    [payload-as-referrer]="--new-bundle-format=false --registry-referrers-mode=oci-1-1"
  )
  for kind in cosign p384 ed25519 rsa; do
    make_key "$kind" || continue
    cp "$here/$kind.pub" "$trusted/$kind.pub"
    for registry in "${registries[@]}"; do
      for form in bundle payload payload-as-referrer; do
        name=$registry/$kind/$form:1
        push "$name"
        export COSIGN_EXPERIMENTAL=0
        [ "$form" != payload-as-referrer ] || export COSIGN_EXPERIMENTAL=1
        # shellcheck disable=SC2086
        sign "$here/$kind.key" "${name%:1}@$digest" ${forms[$form]} || continue
        # Of Ed25519 there is a second form, which cosign 3 signs in.
        if [ "$kind" = ed25519 ]; then
          pulls "$kind key, $form, $registry" "$name" no Ed25519ph
        else
          pulls "$kind key, $form, $registry" "$name" yes
        fi
      done
    done
    rm "$trusted/$kind.pub"
  done
  cp "$here/cosign.pub" "$trusted/cosign.pub"
  for registry in "${registries[@]}"; do
    name=$registry/none:1
    push "$name"
    pulls "unsigned, $registry" "$name" no "remote trust data does not exist"
    name=$registry/stranger:1
    push "$name"
    sign "$here/p384.key" "${name%:1}@$digest" && pulls "other key, $registry" "$name" no "is by another key"
    name=$registry/platforms:1
    printf 'FROM scratch\nLABEL a=b\n' >"$here/context/Dockerfile"
    "$lap" build -q --platform linux/amd64,linux/arm64 --push -t "$name" "$here/context" >"$here/build.log" 2>&1 ||
      say FAILED "build of $name: $(tail -1 "$here/build.log")"
    digest=sha256:$(curl -s -H 'Accept: application/vnd.oci.image.index.v1+json' \
      -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
      "http://$registry/v2/platforms/manifests/1" | sha256sum | cut -d' ' -f1)
    pulls "unsigned index, $registry" "$name" no "remote trust data does not exist"
    sign "$here/cosign.key" "${name%:1}@$digest" && pulls "signed index, $registry" "$name" yes
    name=$registry/attested:1
    push "$name"
    echo '{}' >"$here/predicate.json"
    $cosign attest --key "$here/cosign.key" --allow-http-registry --use-signing-config=false \
      --tlog-upload=false -y --type custom --predicate "$here/predicate.json" "${name%:1}@$digest" \
      >"$here/sign.log" 2>&1 || say FAILED "cosign attest: $(tail -1 "$here/sign.log")"
    pulls "attested, not signed, $registry" "$name" no "trust data"
    sign "$here/cosign.key" "${name%:1}@$digest" && pulls "attested and signed, $registry" "$name" yes
  done
fi

# What lap writes, and what others think of it.
export DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE=secret
(cd "$here" && "$lap" trust key generate own) >"$here/key.log" 2>&1 || say FAILED "trust key generate"
cp "$here/own.pub" "$trusted/own.pub"
for registry in "${registries[@]}"; do
  name=$registry/own:1
  push "$name"
  "$lap" push --disable-content-trust=false "$name" >"$here/sign.log" 2>&1 || say FAILED "push: $(tail -1 "$here/sign.log")"
  pulls "lap, $registry" "$name" yes
  if [ -n "$cosign" ]; then
    $cosign verify --key "$here/own.pub" --allow-http-registry --insecure-ignore-tlog \
      --new-bundle-format=false "$name" >"$here/verify.log" 2>&1 && say ok "cosign verifies lap, $registry" ||
      say FAILED "cosign verifies lap, $registry: $(tail -1 "$here/verify.log")"
    push "$registry/theirs:1"
    sign "$HOME/.config/lapstrake/private/own.key" "$registry/theirs@$digest" &&
      pulls "cosign with a key of lap, $registry" "$registry/theirs:1" yes
    push "$registry/ours:1"
    "$lap" trust sign --key "$here/cosign.key" "$registry/ours:1" >"$here/sign.log" 2>&1
    pulls "lap with a key of cosign, $registry" "$registry/ours:1" yes
  fi
  if [ -n "$skopeo" ]; then
    mkdir -p "$here/registries.d"
    printf 'default-docker:\n  use-sigstore-attachments: true\n' >"$here/registries.d/default.yaml"
    cat >"$here/policy.json" <<J
{"default": [{"type": "reject"}], "transports": {"docker": {"$registry":
  [{"type": "sigstoreSigned", "keyPath": "$here/own.pub"}]}}}
J
    $skopeo --registries.d "$here/registries.d" --policy "$here/policy.json" copy --remove-signatures \
      --src-tls-verify=false "docker://$name" "dir:$here/copied" >"$here/verify.log" 2>&1 &&
      say ok "skopeo verifies lap, $registry" ||
      say FAILED "skopeo verifies lap, $registry: $(tail -1 "$here/verify.log")"
  fi
done
rm "$trusted/own.pub"

# What skopeo and podman write: payloads that name the tag.
if [ -n "$skopeo" ]; then
  mkdir -p "$here/registries.d"
  printf 'default-docker:\n  use-sigstore-attachments: true\n' >"$here/registries.d/default.yaml"
  printf secret >"$here/passphrase"
  $skopeo generate-sigstore-key --passphrase-file "$here/passphrase" --output-prefix "$here/skopeo" \
    >"$here/key.log" 2>&1 || say FAILED "skopeo generate-sigstore-key: $(tail -1 "$here/key.log")"
  cp "$here/skopeo.pub" "$trusted/skopeo.pub"
  for registry in "${registries[@]}"; do
    push "$registry/plain:1"
    $skopeo --registries.d "$here/registries.d" --insecure-policy copy --src-tls-verify=false \
      --dest-tls-verify=false --sign-by-sigstore-private-key "$here/skopeo.private" \
      --sign-passphrase-file "$here/passphrase" "docker://$registry/plain:1" \
      "docker://$registry/skopeo:1" >"$here/sign.log" 2>&1 ||
      say FAILED "skopeo copy: $(tail -1 "$here/sign.log")"
    pulls "skopeo, $registry" "$registry/skopeo:1" yes
    "$lap" copy "$registry/skopeo:1" "$registry/skopeo:2" >/dev/null 2>&1
    pulls "skopeo, another tag, $registry" "$registry/skopeo:2" no "was asked for"
    cat >"$here/policy.json" <<J
{"default": [{"type": "reject"}], "transports": {"docker": {"$registry/skopeo":
  [{"type": "sigstoreSigned", "keyPath": "$trusted/skopeo.pub"}]}}}
J
    export LAPSTRAKE_POLICY=$here/policy.json
    pulls "skopeo, policy without signedIdentity, $registry" "$registry/skopeo:1" yes
    pulls "policy rejects, $registry" "$registry/plain:1" no "refused by the policy"
    unset LAPSTRAKE_POLICY
  done
fi

exit "$failed"
