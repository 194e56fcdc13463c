import pytest, time
from pathlib import Path
from agents.knowledge.search import search
from tests.agents.knowledge.questions import QUESTIONS, SOURCES, PROJECT
pytestmark = pytest.mark.django_db
def test_q(base, add, index_all):
    from agents.knowledge import documents
    from django.core.files.base import ContentFile
    from agents.models import Chunk
    t=time.time()
    for p in SOURCES: documents.add(base, p.name, ContentFile(p.read_bytes()), None)
    index_all()
    print('indexed', time.time()-t, Chunk.objects.count())
    bad=0
    for q,doc,words in QUESTIONS:
        t=time.time()
        f=search(base.workspace_id,[base.pk],q,10)
        ms=(time.time()-t)*1000
        r=[i for i,p in enumerate(f.passages,1) if p.document==doc and words.lower() in (p.text).lower()]
        print(r[:1] or '-', f'{ms:.0f}ms', q, '|', [(p.document[:12],p.place.get('heading','')[-30:]) for p in f.passages[:3]])
