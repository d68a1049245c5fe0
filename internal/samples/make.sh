#!/bin/sh
# Makes tone.ogg and picture.ivf, which are committed: run this only to change
# them. Needs ffmpeg with libopus and libvpx (apt-get install ffmpeg).
#
# Other versions of the encoders write other bytes; the tests ask for the
# properties below, not for the bytes.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
quiet='-hide_banner -loglevel error -nostdin -y'

# 440 Hz, mono, Opus in packets of 20 ms. Five packets hold 44 whole waves, so
# 125 packets out of the middle of a longer tone can be played in a loop
# without a click.
# shellcheck disable=SC2086
ffmpeg $quiet -f lavfi -i 'sine=frequency=440:sample_rate=48000:duration=5' \
	-ac 1 -c:a libopus -application audio -frame_duration 20 -vbr off -b:a 32k \
	-map_metadata -1 -fflags +bitexact "$tmp/long.ogg"
# shellcheck disable=SC2086
ffmpeg $quiet -ss 1 -i "$tmp/long.ogg" -c copy -frames:a 125 \
	-map_metadata -1 -fflags +bitexact "$tmp/tone.ogg"

# A moving test picture with a running counter, VP8, 320x180 at 15 frames a
# second, 3 seconds, a key frame every second and no invisible frames: one
# sample is one picture.
# shellcheck disable=SC2086
ffmpeg $quiet -f lavfi -i 'testsrc2=size=320x180:rate=15:duration=3' \
	-c:v libvpx -threads 1 -deadline good -cpu-used 0 -b:v 180k -minrate 180k -maxrate 180k -bufsize 180k \
	-g 15 -keyint_min 15 -auto-alt-ref 0 -lag-in-frames 0 -pix_fmt yuv420p \
	-map_metadata -1 -fflags +bitexact "$tmp/picture.ivf"

mv "$tmp/tone.ogg" "$tmp/picture.ivf" .
ls -l tone.ogg picture.ivf
