"""DICOM headers without what identifies a patient."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

import clinnlp
from clinnlp.errors import ConfigError, ImageError, StageError

SECRET = "Zebulon"
KEY = "correct horse"


def made(**changes: Any) -> bytes:
    """Write a file whose header tells much of a patient."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "1.2.3.4.5", "1.2.3.4"
    dataset.PatientName, dataset.PatientID = f"Quarry^{SECRET}", "MR-123456"
    dataset.PatientBirthDate, dataset.PatientAge, dataset.PatientSex = "19300102", "093Y", "M"
    dataset.StudyDate, dataset.StudyTime, dataset.AcquisitionDateTime = "20240305", "101112", "20240307101112.5"
    dataset.InstitutionName, dataset.StudyDescription = f"{SECRET} Hospital", f"knee of {SECRET}"
    dataset.Modality, dataset.BurnedInAnnotation = "OT", "NO"
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.ReferringPhysicianName = "1.2.3.4.5", SECRET
    dataset.ReferencedImageSequence = Sequence([item])
    dataset.add_new(0x00091001, "LO", f"private {SECRET}")
    dataset.add_new(0x60004000, "LT", f"overlay {SECRET}")
    dataset.EncapsulatedDocument = f"%PDF of {SECRET}".encode()
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 7, 0, 1
    dataset.PhotometricInterpretation, dataset.PixelData = "MONOCHROME2", b"\0\1\2\3"
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.preamble = SECRET.encode().ljust(128)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_nothing_of_the_patient_stays_and_pixels_do() -> None:
    data = clinnlp.deidentify_dicom(made(), KEY)
    for secret in (SECRET, "Quarry", "123456", "19300102", "20240305", "1.2.3.4"):
        assert secret.encode() not in data
    new = read(data)
    assert new.PixelData == b"\0\1\2\3"
    assert new.Modality == "OT"
    assert new.PatientAge == "090Y"
    assert new.PatientIdentityRemoved == "YES"
    assert not new.PatientBirthDate
    assert "StudyDescription" not in new
    assert not [e for e in new.iterall() if e.tag.is_private]
    assert new.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"


def test_uids_and_days_are_mapped_the_same_everywhere() -> None:
    new = read(clinnlp.deidentify_dicom(made(), KEY))
    assert new.ReferencedImageSequence[0].ReferencedSOPInstanceUID == new.SOPInstanceUID
    assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert new.SOPInstanceUID != new.StudyInstanceUID
    assert int(new.AcquisitionDateTime[:8]) != 20240307
    assert new.AcquisitionDateTime[8:] == "101112.5"
    again = read(clinnlp.deidentify_dicom(made(), KEY))
    assert (again.PatientID, again.StudyDate, again.SOPInstanceUID) == (
        new.PatientID,
        new.StudyDate,
        new.SOPInstanceUID,
    )
    other = read(clinnlp.deidentify_dicom(made(), "another"))
    assert (other.PatientID, other.SOPInstanceUID) != (new.PatientID, new.SOPInstanceUID)


def test_dates_move_as_those_of_the_patients_notes() -> None:
    new = read(clinnlp.deidentify_dicom(made(), KEY, patient="Zebulon Quarry"))
    note = clinnlp.Record("20240305", metadata={"patient": "Zebulon Quarry"})
    found = clinnlp.stages.Deidentifier(mode="surrogate", key=KEY)(note).deidentified
    assert found is not None
    assert new.StudyDate == found.text
    bare = read(clinnlp.deidentify_dicom(made(), KEY, dates="remove"))
    assert not bare.StudyDate
    assert "StudyTime" not in bare


def test_pixels_that_may_have_writing_are_warned_of() -> None:
    for value in ("YES", None):
        with pytest.warns(UserWarning, match="names written into its pixels"):
            clinnlp.deidentify_dicom(made(BurnedInAnnotation=value), KEY)


def test_a_name_where_none_should_be_gives_nothing_out() -> None:
    with pytest.raises(StageError, match="1 elements of a DICOM file still name the patient") as told:
        clinnlp.deidentify_dicom(made(Manufacturer=f"Works of {SECRET}"), KEY)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("name", ["OperatorsName", "ReferringPhysicianName", "NameOfPhysiciansReadingStudy"])
@pytest.mark.parametrize("nested", [False, True])
def test_anybody_whom_the_header_names_is_looked_for_in_what_stays(name: str, nested: bool) -> None:
    item = Dataset()
    setattr(item, name, ["Thistlewood^Ann=山田^太郎", "Bramblegate^Jo"])
    where = {"ReferencedImageSequence": Sequence([item])} if nested else {name: item[name].value}
    for text in ("Works of Bramblegate", "THISTLEWOOD", "山田太郎"):
        data = made(Manufacturer=text, SpecificCharacterSet="ISO_IR 192", **where)
        with pytest.raises(StageError, match="1 elements of a DICOM file still name the patient or another person"):
            clinnlp.deidentify_dicom(data, KEY)
    assert read(clinnlp.deidentify_dicom(made(Manufacturer="Works", **where), KEY)).Manufacturer == "Works"


def test_a_number_in_a_sequence_is_looked_for_too() -> None:
    item = Dataset()
    item.PatientID = "ZX-998877"
    with pytest.raises(StageError, match="1 elements"):
        clinnlp.deidentify_dicom(made(SequenceName="ZX998877", ReferencedImageSequence=Sequence([item])), KEY)


def test_what_stands_behind_the_pixels_is_cut_off() -> None:
    item = Dataset()
    item.Rows = item.Columns = 1
    item.BitsAllocated, item.SamplesPerPixel, item.PhotometricInterpretation = 8, 1, "MONOCHROME2"
    item.PixelData = b"\7" + SECRET.encode()
    data = made(PixelData=b"\0\1\2\3" + SECRET.encode() + b"\0", ReferencedImageSequence=Sequence([item]))
    new = clinnlp.deidentify_dicom(data, KEY)
    assert SECRET.encode() not in new
    assert read(new).PixelData == b"\0\1\2\3"
    assert read(new).ReferencedImageSequence[0].PixelData == b"\7\0"
    with pytest.raises(ImageError, match="does not say how many pixels it has: complete its header first"):
        clinnlp.deidentify_dicom(made(Rows=None), KEY)


def test_a_file_that_does_not_say_what_it_is_is_refused() -> None:
    dataset = read(made())
    del dataset.SOPClassUID
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(ImageError, match="does not say what kind of image it is: write its SOPClassUID first"):
        clinnlp.deidentify_dicom(buffer.getvalue(), KEY)


def test_pydicom_says_nothing_of_what_it_reads() -> None:
    dataset = read(made())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientAge, dataset.StudyInstanceUID = SECRET, f"1.2.{SECRET}"
        buffer = io.BytesIO()
        dataset.save_as(buffer)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        clinnlp.deidentify_dicom(buffer.getvalue(), KEY)
    assert [str(warning.message) for warning in told] == []


@pytest.mark.parametrize("data", [b"", b"no DICOM", f"{SECRET} ".encode() * 100, made()[:300]])
def test_damaged_files_say_so_in_one_line_or_are_clean(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            told = repr(clinnlp.deidentify_dicom(data, KEY))
        except ImageError as error:
            told = str(error)
    assert SECRET not in told


def test_a_key_is_needed() -> None:
    with pytest.raises(ConfigError, match="the key must be a text or bytes, and not empty"):
        clinnlp.deidentify_dicom(made(), "")
    with pytest.raises(ConfigError, match="the key must be a text or bytes, and not empty"):
        clinnlp.deidentify_dicom(made(), 5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lone surrogate"):
        clinnlp.deidentify_dicom(made(), "\ud800")
    with pytest.raises(ConfigError, match="given as a path or as bytes, not int"):
        clinnlp.deidentify_dicom(5, KEY)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the patient is a text, not int"):
        clinnlp.deidentify_dicom(made(), KEY, patient=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'shift' or 'remove'"):
        clinnlp.deidentify_dicom(made(), KEY, dates="keep")  # type: ignore[arg-type]


def test_real_files_keep_their_pixels_and_lose_their_names(corpora: Path) -> None:
    paths = sorted((corpora / "dicom_samples").glob("*.dcm"))
    written = 0
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = pydicom.dcmread(path, force=True)
            try:
                data = clinnlp.deidentify_dicom(path, KEY)
            except ImageError:
                continue
            after = read(data)
        written += 1
        name, number = str(before.get("PatientName", "")), str(before.get("PatientID", ""))
        header = b"".join(str(e.value).encode() for e in after.iterall() if e.tag != 0x7FE00010)
        assert not name or name.encode() not in header
        assert len(number) < 4 or number.encode() not in header
        if "PixelData" in before:
            assert after.PixelData == before.PixelData
    assert written >= len(paths) - 3


@pytest.mark.parametrize(
    ("name", "kind", "value", "wanted"),
    [
        ("InstitutionName", "CS", "ST ELSEWHERE", None),
        ("PatientTelephoneNumbers", "IS", "5551234", None),
        ("StudyDate", "DA", "20040119-20050230", ""),
        ("AcquisitionDateTime", "DT", "20040119 DR ACHTERBERG", ""),
        ("PatientAge", "AS", "95Y", ""),
        ("PatientAge", "AS", "095Y", "090Y"),
        ("PatientAge", "AS", "044Y", "044Y"),
        ("PatientAge", "AS", "BORN IN GLENHARROW", ""),
    ],
)
def test_what_calls_itself_another_kind_or_has_no_form_of_its_kind_is_taken_out(
    name: str, kind: str, value: str, wanted: str | None
) -> None:
    dataset = read(made())
    tag = pydicom.datadict.tag_for_keyword(name)
    assert tag is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset[tag] = pydicom.DataElement(tag, kind, value)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        found = read(clinnlp.deidentify_dicom(buffer.getvalue(), KEY)).get(name)
    assert (None if found is None else str(found)) == wanted


def test_only_registered_uids_stay_as_they_are() -> None:
    new = read(clinnlp.deidentify_dicom(made(SOPInstanceUID="1.2.840.10008.12345678.19560305"), KEY))
    assert new.SOPInstanceUID.startswith("2.25.")
    assert new.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
